// What the viewer has received, kept and dropped: a line, and behind it all counters of its status.

import { fill, h } from "../lib/dom.js";
import { bytes, count, counted } from "../lib/format.js";

/** @import { Status } from "../lib/api.js" */

/**
 * What each counter is called. One that the viewer does not have is null: it neither forwards nor saves unless told to.
 * @type {[string, (status: Status) => number | string | null][]}
 */
const COUNTERS = [
  ["Spans received", ({ received }) => received.spans],
  ["Spans kept", ({ spans }) => spans],
  ["Traces kept", ({ traces }) => traces],
  ["Memory of the traces", (status) => `${bytes(status.bytes)} of ${bytes(status.max_bytes)}`],
  ["Traces that made room for newer ones", ({ dropped }) => dropped.traces],
  ["Spans of traces that made room", ({ dropped }) => dropped.reasons.memory],
  ["Spans above what one trace may have", ({ dropped }) => dropped.reasons.trace_too_large],
  ["Spans without valid ids, or unreadable", ({ dropped }) => dropped.reasons.invalid],
  ["Spans that came twice: no loss", ({ duplicates }) => duplicates],
  ["Requests refused: their senders know", (status) => status.refused_requests],
  ["Traces that made room before they were counted in Operations", (status) => status.not_analyzed],
  ["Requests with metrics, which are not kept", ({ received }) => received.metrics],
  ["Requests with logs, which are not kept", ({ received }) => received.logs],
  ["Requests forwarded", ({ forwarded }) => forwarded?.requests ?? null],
  ["Requests not forwarded", ({ forwarded }) => forwarded?.dropped ?? null],
  ["Requests saved", ({ saved }) => saved?.requests ?? null],
  ["Requests not saved", ({ saved }) => saved?.dropped ?? null],
];

export function createCounters() {
  const line = h("summary", { class: "quiet" });
  const rows = COUNTERS.map(([name, read]) => {
    const value = h("dd", { class: "number" });
    return { read, value, element: h("div", { hidden: true }, h("dt", null, name), value) };
  });
  const element = h(
    "details",
    { class: "counters" },
    line,
    h(
      "dl",
      null,
      rows.map((row) => row.element),
    ),
  );

  /** @param {Status} status */
  function draw(status) {
    const { dropped, forwarded, saved } = status;
    const losses = [
      dropped.spans > 0 && `${counted(dropped.spans, "span")} dropped`,
      forwarded !== null && forwarded.dropped > 0 && `${counted(forwarded.dropped, "request")} not forwarded`,
      saved !== null && saved.dropped > 0 && `${counted(saved.dropped, "request")} not saved`,
    ].filter((it) => it !== false);
    fill(
      line,
      `${counted(status.traces, "trace")} and ${counted(status.spans, "span")} here, ${counted(status.received.spans, "span")} received, `,
      losses.length > 0 ? h("span", { class: "warn" }, losses.join(", ")) : "none dropped",
    );
    for (const { read, value, element: row } of rows) {
      const now = read(status);
      row.hidden = now === null;
      const text = typeof now === "number" ? count(now) : (now ?? "");
      if (value.textContent !== text) value.textContent = text;
    }
  }
  return { element, draw };
}
