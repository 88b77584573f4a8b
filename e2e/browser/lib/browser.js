// Debian's Chromium, and pages that note everything that must not happen.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const CHROMIUM = process.env["CHROMIUM"] ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

/** @typedef {import("playwright-core").Page} Page */
/** @typedef {{ width?: number, height?: number, scheme?: "light" | "dark", clipboard?: boolean }} Look */

export async function openBrowser() {
  if (!CHROMIUM) throw new Error("there is no Chromium: install Debian's package `chromium`, or set CHROMIUM to the path of one");
  // A sandbox needs namespaces, which containers do not give; the pages are this repository's.
  return chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
}

/**
 * Opens a page of the viewer. `end` fails if the console said something, or anything was asked of another host.
 * @param {import("playwright-core").Browser} browser
 * @param {string} base
 * @param {Look} [look]
 */
export async function openPage(browser, base, { width = 1280, height = 860, scheme = "light", clipboard = false } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: scheme,
    reducedMotion: "reduce",
    acceptDownloads: true,
    locale: "en-GB",
    timezoneId: "UTC",
  });
  if (clipboard) await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: base });
  /** @type {string[]} */
  const wrong = [];
  await context.route("**/*", (route) => {
    const url = route.request().url();
    if (url.startsWith(`${base}/`) || url.startsWith("data:") || url.startsWith("blob:")) return route.continue();
    wrong.push(`a request to another host: ${url}`);
    return route.abort();
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") wrong.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`error: ${error.stack ?? error.message}`));
  return {
    page,
    context,
    /** @param {string} hash */
    async go(hash) {
      await page.goto(`${base}/${hash}`);
      await page.locator("h1").first().waitFor();
    },
    /** What the console may say, such as a 404 that was asked for. @param {RegExp} pattern */
    forgive(pattern) {
      const kept = wrong.filter((it) => !pattern.test(it));
      wrong.splice(0, wrong.length, ...kept);
    },
    async end() {
      await context.close();
      assert.deepEqual(wrong, []);
    },
  };
}

/**
 * Fails if axe finds something serious, or the page is wider than the window.
 * @param {Page} page
 * @param {string} what
 */
export async function assertAccessible(page, what) {
  // The page's own policy forbids scripts of others; axe comes through the debugger, which it does not bind.
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    // @ts-expect-error axe is a global of its script.
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations
      .filter((/** @type {any} */ it) => it.impact === "serious" || it.impact === "critical")
      .map(
        (/** @type {any} */ it) =>
          `${it.id}: ${it.help}: ${it.nodes
            .slice(0, 3)
            .map((/** @type {any} */ node) => `${node.html} ${node.failureSummary}`)
            .join(" | ")}`,
      );
  });
  assert.deepEqual(found, [], what);
  const excess = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(excess, 0, `${what} is wider than the window by ${excess} px`);
}
