// Reads of the viewer's API, without a browser.

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { createReader } from "../../../viewer/page/lib/reader.js";

/** A reader whose answers come when the test says so. */
function reader() {
  mock.timers.enable({ apis: ["setTimeout"] });
  /** @type {{ signal: AbortSignal, answer: () => void }[]} */
  const reads = [];
  const created = createReader((signal) => new Promise((answer) => reads.push({ signal, answer: () => answer() })), 500);
  return { ...created, reads, end: () => mock.timers.reset() };
}

/** Until everything that waits for an answer has gone on. */
const settled = () => new Promise((done) => setImmediate(done));

test("a read that is asked for meanwhile follows the one that runs, once", async () => {
  const { now, later, reads, end } = reader();
  now();
  later();
  later();
  mock.timers.tick(10_000);
  assert.equal(reads.length, 1, "a slow answer is waited for");
  reads[0]?.answer();
  await settled();
  mock.timers.tick(499);
  assert.equal(reads.length, 1);
  mock.timers.tick(1);
  assert.equal(reads.length, 2);
  reads[1]?.answer();
  await settled();
  mock.timers.tick(10_000);
  assert.equal(reads.length, 2);
  end();
});

test("a late answer to what is asked for no longer is known as such, and starts nothing", async () => {
  const { now, later, reads, end } = reader();
  now();
  now();
  assert.deepEqual(
    reads.map(({ signal }) => signal.aborted),
    [true, false],
  );
  later();
  reads[0]?.answer();
  await settled();
  mock.timers.tick(10_000);
  assert.equal(reads.length, 2);
  end();
});

test("nothing is read after the end", async () => {
  const { now, later, stop, reads, end } = reader();
  later();
  stop();
  mock.timers.tick(10_000);
  assert.equal(reads.length, 0);
  now();
  later();
  stop();
  assert.equal(reads[0]?.signal.aborted, true);
  reads[0]?.answer();
  await settled();
  mock.timers.tick(10_000);
  assert.equal(reads.length, 1);
  end();
});
