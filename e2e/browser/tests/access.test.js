// For everybody: the keyboard alone, both colour schemes, a phone's width, and axe.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertAccessible, openBrowser, openPage } from "../lib/browser.js";
import { startUp, startView } from "../lib/fanout.js";
import { send, shop, traceOf } from "../lib/otlp.js";

/** @type {import("../lib/fanout.js").Viewer} */
let up;
/** Without traces. @type {import("../lib/fanout.js").Viewer} */
let empty;
/** @type {import("playwright-core").Browser} */
let browser;
/** @type {string[]} */
const ids = [];

before(async () => {
  browser = await openBrowser();
  up = await startUp();
  empty = await startView();
  for (const age of [3000, 2000]) {
    const { traceId, body } = traceOf(shop(), Date.now() - age);
    await send(up.otlpHttp, body);
    ids.push(traceId);
  }
});
after(async () => {
  await browser?.close();
  await up?.stop();
  await empty?.stop();
});

const LOOKS = /** @type {const} */ ([
  { width: 1280, scheme: "light" },
  { width: 1280, scheme: "dark" },
  { width: 360, scheme: "light" },
  { width: 360, scheme: "dark" },
]);

for (const look of LOOKS) {
  test(`axe finds nothing serious, and nothing is cut off: ${look.width} px, ${look.scheme}`, async () => {
    const opened = await openPage(browser, up.url, look);
    const { page } = opened;
    const views = {
      traces: "#/traces",
      trace: `#/trace/${ids[0]}`,
      operations: "#/operations",
      compare: `#/compare?left=${ids[0]}&right=${ids[1]}`,
      "compare, nothing chosen": "#/compare",
      run: "#/run",
      file: "#/file",
    };
    /** What is there when a view has been drawn. @type {{ [view: string]: string }} */
    const drawn = { traces: ".row-link", trace: ".row", operations: ".operations", compare: ".bar", run: ".card", file: ".empty" };
    for (const [name, hash] of Object.entries(views)) {
      await opened.go(hash);
      await page
        .locator(drawn[name] ?? ".empty")
        .first()
        .waitFor();
      await assertAccessible(page, name);
    }
    await opened.go(`#/trace/${ids[0]}`);
    await page.locator(".row").first().click();
    await page.locator(".details").waitFor();
    await assertAccessible(page, "details");
    await opened.go("#/run?delay.user=50ms&delay.country=50ms");
    await page.getByRole("button", { name: /Compare all/ }).click();
    await page.locator(".run").nth(2).waitFor();
    await assertAccessible(page, "a comparison");
    const ticks = await page.locator(".ticks span:visible").evaluateAll((spans) => spans.map((span) => span.getBoundingClientRect()));
    ticks.slice(1).forEach((tick, i) => assert.ok(tick.left > (ticks[i]?.right ?? 0), "ticks do not overlap"));
    await page.getByRole("button", { name: "Keys and help" }).click();
    await page.locator("dialog[open]").waitFor();
    await assertAccessible(page, "keys");
    await opened.end();

    const waiting = await openPage(browser, empty.url, look);
    for (const view of ["traces", "operations", "run"]) {
      await waiting.go(`#/${view}`);
      await waiting.page.locator(".empty .command").first().waitFor();
      await assertAccessible(waiting.page, `${view}, nothing there`);
    }
    await waiting.page.locator(".brand").click();
    await waiting.page.locator(".counters summary").click();
    await assertAccessible(waiting.page, "counters");
    await waiting.end();
  });
}

test("the scheme follows the system until it is chosen, and the choice is kept", async () => {
  const opened = await openPage(browser, up.url, { scheme: "dark" });
  const { page } = opened;
  await opened.go("#/traces");
  const lightness = () =>
    page.evaluate(() => {
      const [r = 0, g = 0, b = 0] = (getComputedStyle(document.body).backgroundColor.match(/\d+/g) ?? []).map(Number);
      return r + g + b;
    });
  assert.ok((await lightness()) < 150);
  await page.getByRole("button", { name: /^Colours/ }).click();
  assert.ok((await lightness()) > 600);
  await page.reload();
  await page.locator("h1").waitFor();
  assert.ok((await lightness()) > 600);
  await opened.end();
});

test("everything can be done with the keyboard alone", async () => {
  const opened = await openPage(browser, up.url, { clipboard: true });
  const { page } = opened;
  const press = async (/** @type {string[]} */ ...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const focused = () => page.evaluate(() => document.activeElement?.textContent ?? "");

  await opened.go("#/traces");
  await page.locator(".row-link").nth(1).waitFor();
  await press("?");
  await page.locator("dialog[open]").waitFor();
  await press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" });

  // From the first link of the page to its content.
  await page.evaluate(() => document.body.focus());
  await press("Tab");
  assert.match(await focused(), /To the content/);
  await press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "main");

  // Two traces of the list are chosen and compared.
  await page.locator('.row-link[tabindex="0"]').focus();
  await press("x", "ArrowDown", "x", "c");
  await page.waitForURL(/#\/compare\?left=.*right=/);
  await page.locator(".bar").first().waitFor();

  // A trace is opened, walked through, collapsed, zoomed, closed.
  await press("t");
  await page.locator(".row-link").first().waitFor();
  await page.locator(`[data-trace="${ids[0]}"]`).focus();
  await press("Enter");
  await page.locator(".row").first().waitFor();
  await page.locator('.row[tabindex="0"]').focus();
  await press("ArrowDown");
  assert.match(await focused(), /GET \/session/);
  await press("Enter");
  await page.locator(".details").waitFor();
  await press("Escape");
  await page.locator(".details").waitFor({ state: "detached" });
  const rowCount = async () => Number(await page.getByRole("treegrid").getAttribute("aria-rowcount"));
  const before = await rowCount();
  await press("ArrowLeft");
  assert.equal(await rowCount(), before - 1);
  await press("ArrowRight");
  assert.equal(await rowCount(), before);
  await press("End");
  assert.match(await focused(), /render/);
  await press("+");
  await page.locator(".waterfall.zoomed").waitFor();
  await press("0");
  await page.locator(".waterfall:not(.zoomed)").waitFor();
  await press("/");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "find");
  await page.keyboard.type("GET /stock");
  await press("Enter");
  await page.locator(".details h2", { hasText: "GET /stock" }).waitFor();
  await page.locator('.row[tabindex="0"]').focus();
  await press("l");
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /#\/trace\/[0-9a-f]{32}\?span=/);
  const [download] = await Promise.all([page.waitForEvent("download"), press("d")]);
  assert.match(download.suggestedFilename(), /\.json$/);
  await press("Escape", "Escape");
  await page.waitForURL(/#\/traces/);

  // A request is sent.
  await press("r");
  await page.locator("#run").waitFor();
  await press("/", "ArrowLeft");
  assert.equal(await page.evaluate(() => /** @type {HTMLInputElement} */ (document.activeElement).value), "sequential");
  await page.locator("#run").focus();
  await press("Enter");
  await page.locator(".runs").waitFor();
  await press("o");
  await page.waitForURL(/#\/operations/);
  await opened.end();
});

test("a screen reader hears rows, their place, and what their bars show", async () => {
  const opened = await openPage(browser, up.url);
  const { page } = opened;
  await opened.go(`#/trace/${ids[0]}`);
  const grid = page.getByRole("treegrid", { name: "Spans of the trace" });
  await grid.waitFor();
  assert.equal(await grid.getAttribute("aria-rowcount"), "22");
  const second = page.getByRole("row", { name: /SELECT line_items/ }).nth(1);
  assert.equal(await second.getAttribute("aria-level"), "4");
  assert.match(await second.innerText(), /call 2 of 12 in turn: joining would save/);
  assert.match(await page.getByRole("row", { name: /GET \/basket/ }).innerText(), /on the critical path/);
  await opened.end();
});
