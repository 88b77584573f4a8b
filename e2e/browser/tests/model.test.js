// The waterfall's model, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { joinedPeriods, modelOf, panned, scaleOf, ticks, visibleRows, zoomed } from "../../../viewer/page/waterfall/model.js";

/** @typedef {import("../../../viewer/page/lib/api.js").TraceDetail} TraceDetail */

/** @param {number[]} depths @returns {TraceDetail} */
function detail(depths) {
  return {
    trace: {
      trace_id: "1",
      root: null,
      start: "0",
      start_ms: 0,
      duration: 100,
      spans: depths.length,
      errors: 0,
      services: [],
      avoidable: 0,
      saved: 0,
      certainty: "unknown",
      complete: true,
    },
    sources: [],
    spans: depths.map((depth, i) => ({
      span_id: `s${i}`,
      parent_span_id: null,
      service: "a",
      name: `n${i}`,
      kind: "client",
      start_offset: i,
      duration: 1,
      error: false,
      depth,
    })),
    critical_path: [
      { span_id: "s2", start_offset: 0, duration: 5 },
      { span_id: "gone", start_offset: 5, duration: 5 },
    ],
    fan_outs: [
      {
        span_id: "s0",
        calls: ["s1", "s3"],
        wall: 10,
        sum: 2,
        union: 2,
        saved: 0,
        avoidable: 1,
        overlaps: [],
        sequences: [{ calls: ["s1", "s3"], took: 2, together: 1, certainty: "unknown", sentence: "2 calls" }],
      },
    ],
    problems: [],
    verdict: [],
  };
}

test("the tree is read from the depths", () => {
  const model = modelOf(detail([0, 1, 2, 1, 0, 1]));
  assert.deepEqual([...model.parents], [-1, 0, 1, 0, -1, 4]);
  assert.deepEqual([...model.ends], [4, 3, 3, 4, 6, 6]);
});

test("a collapsed span hides its descendants, whose row is its own", () => {
  const model = modelOf(detail([0, 1, 2, 1, 0, 1]));
  const { rows, rowOf } = visibleRows(model, new Set([1, 4]));
  assert.deepEqual([...rows], [0, 1, 3, 4]);
  assert.deepEqual([...rowOf], [0, 1, 1, 2, 3, 3]);
});

test("calls in turn know the one before, and ids that are no span are left out", () => {
  const model = modelOf(detail([0, 1, 2, 1]));
  const turn = model.turns.get(3);
  assert.deepEqual([turn?.position, turn?.first, turn?.previous, turn?.saves], [1, 1, 1, 1]);
  assert.deepEqual([...model.critical.keys()], [2]);
});

test("a hundred thousand spans, each in the one before, take no recursion", () => {
  const model = modelOf(detail(Array.from({ length: 100_000 }, (_, i) => i)));
  assert.equal(model.ends[0], 100_000);
  assert.equal(visibleRows(model, new Set([50_000])).rows.length, 50_001);
});

test("periods that touch are one", () => {
  const joined = joinedPeriods([
    { start_offset: 5, duration: 2 },
    { start_offset: 0, duration: 3 },
    { start_offset: 3, duration: 1 },
  ]);
  assert.deepEqual([...joined], [0, 4, 5, 7]);
});

test("ticks are round, and few", () => {
  const { step, at } = ticks(scaleOf({ from: 0, to: 6.01e9 }, 720));
  assert.equal(step, 1e9);
  assert.deepEqual(
    at,
    [0, 1, 2, 3, 4, 5, 6].map((s) => s * 1e9),
  );
});

test("zoom keeps its point in place and stays within the trace", () => {
  const whole = { from: 0, to: 8000 };
  assert.deepEqual(zoomed(whole, whole, 0.5, 2000), { from: 1000, to: 5000 });
  assert.deepEqual(zoomed({ from: 1000, to: 5000 }, whole, 4), whole);
  assert.deepEqual(panned({ from: 4000, to: 8000 }, whole, 0.5), { from: 4000, to: 8000 });
});
