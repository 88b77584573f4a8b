// The page's texts of durations, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { duration, parseDuration, shortName, tick, withShortNames } from "../../../viewer/page/lib/format.js";

const plain = (/** @type {string} */ text) => text.replaceAll("\u00a0", " ");

test("a duration has three digits and the unit that suits", () => {
  const expected = /** @type {const} */ ([
    [0, "0 s"],
    [1, "1 ns"],
    [999, "999 ns"],
    [1_000, "1.00 µs"],
    [12_345, "12.3 µs"],
    [999_499, "999 µs"],
    [999_600, "1.00 ms"],
    [6.005e9, "6.00 s"],
    [6.006e9, "6.01 s"],
    [9.996e9, "10.0 s"],
    [59.4e9, "59.4 s"],
    [59.6e9, "1 min 00 s"],
    [125e9, "2 min 05 s"],
    [8.1e12, "2 h 15 min"],
    [-3e9, "−3.00 s"],
  ]);
  for (const [ns, text] of expected) assert.equal(plain(duration(ns)), text, String(ns));
});

test("a duration is read with its unit, and nothing else is", () => {
  const expected = /** @type {const} */ ([
    ["100ms", 1e8],
    ["1.5 s", 1.5e9],
    ["2m", 1.2e11],
    ["7us", 7e3],
    ["", null],
    ["5", null],
    ["-1s", null],
    ["1s 2", null],
    ["NaNs", null],
  ]);
  for (const [text, ns] of expected) assert.equal(parseDuration(text), ns, text);
});

test("ticks of an axis share a unit", () => {
  assert.deepEqual(
    [0, 0.5e9, 1e9].map((ns) => plain(tick(ns, 0.5e9))),
    ["0", "0.5 s", "1 s"],
  );
  assert.deepEqual(
    [0, 2e6].map((ns) => plain(tick(ns, 2e6))),
    ["0", "2 ms"],
  );
});

test("a method of gRPC loses its package, and nothing else does", () => {
  const expected = /** @type {const} */ ([
    ["fanout.gateway.v1.GatewayService/GetProfile", "GatewayService/GetProfile"],
    ["GET /a.b.C/d", "GET /a.b.C/d"],
    ["delay", "delay"],
    ["a.b", "a.b"],
  ]);
  for (const [name, text] of expected) assert.equal(shortName(name), text);
  assert.equal(
    withShortNames("gateway: fanout.user.v1.UserService/GetUser and a.B/c: 2 calls"),
    "gateway: UserService/GetUser and B/c: 2 calls",
  );
});
