// The page while spans arrive and traces make room for newer ones.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser, openPage } from "../lib/browser.js";
import { startView } from "../lib/fanout.js";
import { send, shop, split, traceOf } from "../lib/otlp.js";

/** @type {import("../lib/fanout.js").Viewer} */
let view;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  browser = await openBrowser();
  view = await startView();
});
after(async () => {
  await browser?.close();
  await view?.stop();
});

test("an operation is counted once its trace is complete, without another event", async () => {
  const opened = await openPage(browser, view.url);
  await opened.go("#/operations");
  await opened.page.getByText("Waiting for the first trace").waitFor();
  await send(view.otlpHttp, traceOf(shop()).body);
  await opened.page.locator(".operations").getByRole("link", { name: "POST /orders" }).waitFor();
  await opened.end();

  // Nor does a page know of it that is opened between.
  await send(view.otlpHttp, traceOf({ service: "late", name: "GET /late", kind: "server", start: 0, duration: 5 }).body);
  const after = await openPage(browser, view.url);
  await after.go("#/operations");
  await after.page.locator(".operations").getByRole("link", { name: "GET /late" }).waitFor();
  await after.end();
});

test("spans that arrive move nothing and say nothing", async () => {
  const opened = await openPage(browser, view.url, { height: 500 });
  const { page } = opened;
  const { traceId, body } = traceOf(shop());
  const [late, first] = split(body, (span) => span.name === "render");
  await send(view.otlpHttp, first);
  await opened.go(`#/trace/${traceId}`);
  await page.locator('[role=treegrid][aria-rowcount="21"]').waitFor();
  await page
    .getByRole("row", { name: /GET \/session/ })
    .first()
    .click();
  await page.locator(".details h2", { hasText: "GET /session" }).waitFor();
  await page.locator(".details-body").evaluate((element) => element.scrollTo(0, 100));
  await page.locator(".details").getByRole("button", { name: "Copy name" }).focus();
  await page.evaluate(() => scrollTo(0, 0));
  const state = () =>
    page.evaluate(() => ({
      y: scrollY,
      details: document.querySelector(".details-body")?.scrollTop,
      focus: document.activeElement?.getAttribute("aria-label"),
      said: document.querySelector("[aria-live=polite]")?.textContent,
    }));
  const expected = await state();
  assert.deepEqual([expected.y, expected.details, expected.focus], [0, 100, "Copy name"]);

  await send(view.otlpHttp, late);
  await page.locator('[role=treegrid][aria-rowcount="22"]').waitFor();
  assert.deepEqual(await state(), expected);

  // The focused row is the same element still: a new one would be said again.
  await page.locator('.row[tabindex="0"]').focus();
  const row = await page.evaluateHandle(() => document.activeElement);
  await send(
    view.otlpHttp,
    traceOf({ service: "storefront", name: "log", kind: "internal", start: 758, duration: 1 }, Date.now() - 10_000).body.replace(
      /"traceId":"\w+"/,
      `"traceId":"${traceId}"`,
    ),
  );
  await page.locator('[role=treegrid][aria-rowcount="23"]').waitFor();
  assert.ok(await page.evaluate((before) => before === document.activeElement, row));
  await opened.end();
});

test("while older traces are read, only the new ones that fit the filters are counted", async () => {
  const opened = await openPage(browser, view.url, { height: 500 });
  const { page } = opened;
  for (let i = 0; i < 12; i += 1) await send(view.otlpHttp, traceOf(shop()).body);
  await opened.go("#/traces?service=prices");
  await page.locator(".row-link").nth(11).waitFor();
  await page.evaluate(() => scrollTo(0, 400));
  /** @type {import("../lib/otlp.js").Node} */
  const other = { service: "other", name: "GET /other", kind: "server", start: 0, duration: 5 };
  for (let i = 0; i < 3; i += 1) await send(view.otlpHttp, traceOf(other, Date.now()).body);
  const { traceId, body } = traceOf(shop(), Date.now());
  await send(view.otlpHttp, body);
  await page.getByRole("button", { name: /new trace/ }).waitFor();
  assert.equal(await page.getByRole("button", { name: /new trace/ }).innerText(), "1\u00a0new trace");
  assert.equal(await page.locator(`[data-trace="${traceId}"]`).count(), 0, "what is read does not move");
  await page.getByRole("button", { name: /new trace/ }).click();
  await page.locator(`[data-trace="${traceId}"]`).waitFor();
  assert.equal(await page.locator(".row-link").first().getAttribute("data-trace"), traceId);
  await opened.end();
});

test("all traces that arrive before a frame are drawn in it, once", async () => {
  const opened = await openPage(browser, view.url);
  const { page } = opened;
  await opened.go("#/traces");
  await page.locator(".row-link").first().waitFor();
  // A tab that is hidden has no frames.
  await page.evaluate(() => {
    /** @type {FrameRequestCallback[]} */
    const frames = [];
    Object.assign(window, { frames, requestAnimationFrame: (/** @type {FrameRequestCallback} */ draw) => frames.push(draw) });
  });
  const pending = () => page.evaluate(() => /** @type {any} */ (window).frames.length);
  const received = async () =>
    Number(/([\d,]+)\sspans? received/.exec(await page.locator(".counters summary").innerText())?.[1]?.replaceAll(",", ""));
  const before = await received();
  for (let i = 0; i < 5; i += 1) await send(view.otlpHttp, traceOf(shop()).body);
  await page.getByText(new RegExp(`${(before + 110).toLocaleString("en")}\\sspans received`)).waitFor();
  await page.waitForFunction(() => /** @type {any} */ (window).frames.length > 0, undefined, { polling: 50 });
  await send(view.otlpHttp, traceOf(shop()).body);
  await page.getByText(new RegExp(`${(before + 132).toLocaleString("en")}\\sspans received`)).waitFor();
  assert.equal(await pending(), 1);
  await opened.end();
});

test("what was dropped is said, and why", async () => {
  const opened = await openPage(browser, view.url);
  const { page } = opened;
  await opened.go("#/traces");
  const { body } = traceOf(shop());
  const response = await fetch(`http://${view.otlpHttp}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: body.replaceAll(/"spanId":"\w+"/g, '"spanId":"0000000000000000"'),
  });
  assert.equal(response.status, 200);
  await page.getByText("22\u00a0spans dropped").click();
  /** @param {string} name */
  const counter = (name) => page.locator(".counters dl > div", { hasText: name }).locator("dd").innerText();
  assert.equal(await counter("Spans without valid ids"), "22");
  assert.equal(await counter("Spans of traces that made room"), "0");
  assert.equal(await page.getByText("Requests forwarded").isVisible(), false, "this viewer forwards nothing");
  await opened.end();
});

test("zooming and folding change the URL seldom, and in the end it is right", async () => {
  const opened = await openPage(browser, view.url);
  const { page } = opened;
  const { traceId, body } = traceOf(shop());
  await send(view.otlpHttp, body);
  await opened.go(`#/trace/${traceId}`);
  await page.locator(".row").first().focus();
  const changes = await page.evaluate(() => {
    const replace = history.replaceState.bind(history);
    let number = 0;
    history.replaceState = (...args) => {
      number += 1;
      replace(...args);
    };
    for (let i = 0; i < 10; i += 1) document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key: "+", bubbles: true }));
    return number;
  });
  assert.equal(changes, 1);
  const shown = (/** @type {URL} */ url) => {
    const params = new URLSearchParams(url.hash.split("?")[1]);
    return Number(params.get("to")) - Number(params.get("from"));
  };
  await page.waitForURL((url) => Math.abs(shown(url) - 760e6 / 2 ** 10) <= 1);
  await opened.end();
});

test("a trace that has made room for others is said to be gone, and what was shown of it stays", async () => {
  const small = await startView(["--max-memory", "8MiB"]);
  try {
    const opened = await openPage(browser, small.url);
    const { page } = opened;
    const first = traceOf(shop());
    await send(small.otlpHttp, first.body);
    await opened.go(`#/trace/${first.traceId}`);
    await page.locator('[role=treegrid][aria-rowcount="22"]').waitFor();
    let last = "";
    for (let i = 0; i < 10; i += 1) {
      const { traceId, body } = traceOf({ ...shop(), attributes: { text: "x".repeat(1_000_000) } });
      await send(small.otlpHttp, body);
      last = traceId;
    }
    await page.getByText("no longer has this trace").first().waitFor();
    assert.equal(await page.getByRole("treegrid").getAttribute("aria-rowcount"), "22");
    assert.equal(await page.getByRole("link", { name: "Download" }).count(), 0);

    await opened.go(`#/compare?left=${first.traceId}&right=${last}`);
    await page
      .getByRole("alert")
      .filter({ hasText: /The first trace cannot be shown/ })
      .waitFor();
    await page.locator(".compared .bar").first().waitFor();
    opened.forgive(/status of 404/);
    await opened.end();
  } finally {
    await small.stop();
  }
});
