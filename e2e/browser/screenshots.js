// Draws the pictures of docs/view.md: node screenshots.js [DIRECTORY]

import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { openBrowser, openPage } from "./lib/browser.js";
import { startUp } from "./lib/fanout.js";
import { send, shop, traceOf } from "./lib/otlp.js";

const directory = process.argv[2] ?? fileURLToPath(new URL("../../docs/", import.meta.url));
const browser = await openBrowser();
const up = await startUp().catch(async (error) => {
  await browser.close();
  throw error;
});

/**
 * @param {string} name
 * @param {string} hash
 * @param {string} ready
 * @param {import("./lib/browser.js").Look} look
 * @param {(page: import("./lib/browser.js").Page) => Promise<void>} [act]
 */
async function picture(name, hash, ready, look, act) {
  const opened = await openPage(browser, up.url, look);
  await opened.go(hash);
  await opened.page.locator(ready).first().waitFor();
  await act?.(opened.page);
  // The picture is not of the moment in which something has just been clicked.
  await opened.page.mouse.move(0, 0);
  await opened.page.evaluate(() => document.fonts.ready);
  // A third of a PNG's bytes.
  const debug = await opened.context.newCDPSession(opened.page);
  const { data } = await debug.send("Page.captureScreenshot", { format: "webp", quality: 82 });
  await writeFile(`${directory}/view-${name}.webp`, Buffer.from(data, "base64"));
  await opened.end();
}

try {
  const basket = traceOf(shop(), Date.now() - 4000);
  for (const trace of [traceOf(shop(), Date.now() - 9000), basket]) await send(up.otlpHttp, trace.body);
  /** Of the runs, in the order of their strategies. @type {string[]} */
  const ids = [];
  const wide = /** @type {const} */ ({ width: 1280, height: 820 });

  await picture("compare", "#/run?delay.user=3s&delay.country=3s", "#compare", { width: 1280, height: 705 }, async (page) => {
    await page.locator("#compare").click();
    await page.locator(".run").nth(2).waitFor({ timeout: 60_000 });
    for (const link of await page.locator(".run a").all()) {
      const id = /trace\/([0-9a-f]+)/.exec((await link.getAttribute("href")) ?? "")?.[1];
      if (id) ids.push(id);
    }
    await page.locator(".run-result").evaluate((element) => scrollBy(0, element.getBoundingClientRect().top - 80));
  });
  await picture("questions", "#/run", ".card", { width: 1280, height: 700 }, async (page) => {
    await page.getByRole("button", { name: "Run all four" }).click();
    await page.locator("#card-4 .holds").waitFor({ timeout: 60_000 });
    await page.evaluate(() => scrollTo(0, 0));
  });
  for (const scheme of /** @type {const} */ (["light", "dark"])) {
    const suffix = scheme === "dark" ? "-dark" : "";
    await picture(`trace${suffix}`, `#/trace/${ids[0]}`, ".critical-path", { ...wide, scheme });
  }
  await picture("traces", "#/traces", ".row-link", { width: 1280, height: 700 });
  await picture("basket", `#/trace/${basket.traceId}`, ".row", { width: 1280, height: 1180 }, async (page) => {
    await page
      .getByRole("row", { name: /POST \/orders/ })
      .nth(1)
      .click();
  });
  await picture("operations", "#/operations", ".operations", { width: 1280, height: 620 });
  await picture("phone", `#/trace/${ids[0]}`, ".critical-path", { width: 360, height: 780, scheme: "dark" }, async (page) => {
    await page.locator(".waterfall").evaluate((element) => scrollBy(0, element.getBoundingClientRect().top - 190));
  });
} finally {
  await browser.close();
  await up.stop();
}
