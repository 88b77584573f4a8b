// What is said of runs, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { comparisonSentence, runSentence } from "../../../viewer/page/views/run-sentences.js";

/** @typedef {import("../../../viewer/page/lib/api.js").Run} Run */

/** @param {string} strategy @param {number} seconds @param {Partial<Run>} [more] @returns {Run} */
const run = (strategy, seconds, more) => ({
  trace_id: null,
  strategy,
  ok: true,
  code: "OK",
  message: "",
  wall: seconds * 1e9,
  total: 2e9,
  saved: 0,
  avoidable: 0,
  calls: [],
  ...more,
});

/** @param {string} text */
const plain = (text) => text.replaceAll("\u00a0", " ");

test("strategies are compared with the slowest", () => {
  const expected = /** @type {const} */ ([
    [[2, 1, 1.01], "2.00 s sequential, 1.00 s concurrent: 1.00 s less."],
    [[1, 2, 1.5], "2.00 s concurrent, 1.00 s sequential: 1.00 s less."],
    [[2, 2.02, 2.01], "All strategies took about 2.00 s."],
  ]);
  for (const [[a, b, c], text] of expected) {
    assert.equal(plain(comparisonSentence([run("sequential", a), run("concurrent", b), run("spawned", c)])), text);
  }
});

test("what failed is not compared, however fast", () => {
  const failed = { ok: false, code: "UNAVAILABLE" };
  const expected = /** @type {const} */ ([
    [[{}, failed, {}], "2.00 s sequential, 1.00 s spawned: 1.00 s less. Concurrent failed, and is not compared."],
    [[{}, failed, failed], "Sequential took 2.00 s. Concurrent and spawned failed, and are not compared."],
    [[failed, failed, failed], "All strategies failed."],
  ]);
  for (const [[a, b, c], text] of expected) {
    assert.equal(plain(comparisonSentence([run("sequential", 2, a), run("concurrent", 0.01, b), run("spawned", 1, c)])), text);
  }
});

test("a run is explained by what it saved, or could save", () => {
  const calls = Array.from({ length: 2 }, () => ({
    name: "user",
    method: "",
    start_offset: 0,
    duration: 1e9,
    state: "ok",
    critical: true,
  }));
  const expected = /** @type {const} */ ([
    [run("concurrent", 1, { calls, saved: 1e9 }), "2 calls of 2.00 s together took 1.00 s: running at the same time saved 1.00 s."],
    [run("sequential", 2, { calls, avoidable: 1e9 }), "2 calls one after the other took 2.00 s: at the same time they would take 1.00 s."],
    [run("sequential", 2, { calls, ok: false }), "It failed after 2.00 s."],
  ]);
  for (const [one, text] of expected) assert.equal(plain(runSentence([one], 2e9)), text);
  const many = [run("sequential", 2), run("sequential", 1, { ok: false })];
  assert.equal(
    plain(runSentence(many, 2.1e9)),
    "2 callers at once: each took 1.00 s to 2.00 s, and all were done after 2.10 s. 1 of them failed.",
  );
});
