// Draws the visible rows of a waterfall into one SVG: ticks, overlap, bars, calls in turn, critical path, from back to front.

import { s } from "../lib/dom.js";
import { duration } from "../lib/format.js";
import { serviceClass } from "../lib/services.js";
import { ticks } from "./model.js";

/** @import { Model, Scale, Visible } from "./model.js" */

/**
 * @typedef {{
 *   model: Model, visible: Visible, scale: Scale, first: number, last: number, rowHeight: number, barTop: number, barHeight: number
 * }} Frame Rows `first` to `last` (exclusive) are drawn; the first one is at the top of the picture.
 */

/** Bars that are shorter than this are widened, so that they can be seen. */
const MIN_BAR = 2;
/** A character of the small text is at most this wide, on average. */
const CHARACTER = 6.4;

/**
 * @param {Frame} frame
 * @returns {SVGElement[]}
 */
export function draw(frame) {
  return [grid(frame), overlaps(frame), ghosts(frame), bars(frame), criticalPath(frame), handovers(frame)].filter((it) => it !== null);
}

/** @param {Frame} frame @param {number} row */
const top = (frame, row) => (row - frame.first) * frame.rowHeight;

/** @param {Frame} frame @param {number} row */
const barY = (frame, row) => top(frame, row) + frame.barTop;

/** @param {number} value */
const px = (value) => Math.round(value * 10) / 10;

/** @param {Frame} frame */
function grid(frame) {
  const { scale, first, last, rowHeight } = frame;
  const height = (last - first) * rowHeight;
  const path = ticks(scale)
    .at.map((at) => `M${px(scale.x(at))} 0v${height}`)
    .join("");
  return s("path", { class: "grid-line", d: path });
}

/**
 * Where calls of one span ran at the same time, from the first to the last of their rows.
 * @param {Frame} frame
 */
function overlaps(frame) {
  const { model, visible, scale, first, last } = frame;
  const group = s("g", { class: "overlaps" });
  for (const { owner, periods } of model.shades) {
    const from = visible.rowOf[owner] + 1;
    const end = model.ends[owner] - 1;
    const to = visible.rowOf[end] + 1;
    // Collapsed, or not in sight.
    if (to <= from || to <= first || from >= last) continue;
    const y = Math.max(top(frame, from), -4);
    const height = Math.min(top(frame, to), top(frame, last) + 4) - y;
    const d = pixelPeriods(periods, scale)
      .map(([x, width]) => `M${x} ${y}h${width}v${height}h${-width}z`)
      .join("");
    if (d) group.append(s("path", { d, class: "overlap" }));
  }
  return group.childNodes.length > 0 ? group : null;
}

/**
 * Periods in pixels; those that are not a pixel apart are one, so that ten thousand of them stay few.
 * @param {Float64Array} periods
 * @param {Scale} scale
 * @returns {[number, number][]}
 */
function pixelPeriods(periods, scale) {
  /** @type {[number, number][]} */
  const drawn = [];
  for (let i = 0; i < periods.length; i += 2) {
    const x = px(Math.max(0, scale.x(periods[i])));
    const end = px(Math.min(scale.width, scale.x(periods[i + 1])));
    if (end <= 0 || x >= scale.width || end <= x) continue;
    const last = drawn[drawn.length - 1];
    if (last && x - (last[0] + last[1]) < 1) last[1] = px(Math.max(end, last[0] + last[1]) - last[0]);
    else drawn.push([x, px(end - x)]);
  }
  return drawn;
}

/** @param {Frame} frame @param {number} i */
function barOf(frame, i) {
  const span = frame.model.spans[i];
  const x = frame.scale.x(span.start_offset);
  const end = frame.scale.x(span.start_offset + span.duration);
  const left = Math.max(x, -6);
  const right = Math.min(Math.max(end, x + MIN_BAR), frame.scale.width + 6);
  return { span, x: left, width: Math.max(right - left, 0), end: right, inSight: right > 0 && left < frame.scale.width };
}

/** @param {Frame} frame */
function bars(frame) {
  const group = s("g");
  const { visible, first, last, barHeight } = frame;
  for (let row = first; row < last; row += 1) {
    const i = visible.rows[row];
    const { span, x, width, inSight } = barOf(frame, i);
    if (!inSight) continue;
    const y = barY(frame, row);
    const isCall = span.kind === "client" || span.kind === "producer";
    group.append(
      s("rect", {
        class: `bar ${serviceClass(span.service)}${isCall ? " call" : ""}${span.error ? " failed" : ""}`,
        x: px(x),
        y,
        width: px(width),
        height: barHeight,
        rx: Math.min(2.5, width / 2),
      }),
    );
    for (const event of (span.events ?? []).slice(0, 50)) {
      const at = px(frame.scale.x(event.offset));
      if (at >= 0 && at <= frame.scale.width) group.append(s("path", { class: "event", d: `M${at} ${y - 2}v${barHeight + 4}` }));
    }
    if (span.error) {
      const at = px(Math.min(Math.max(x + width, 0), frame.scale.width - 8));
      group.append(s("path", { class: "error-mark", d: `M${at - 3} ${y + barHeight / 2 - 3}l6 6m0 -6l-6 6` }));
    }
  }
  return group;
}

/**
 * Where a call that waited its turn could have run instead, and what joining would save.
 * @param {Frame} frame
 */
function ghosts(frame) {
  const group = s("g");
  const { model, visible, scale, first, last, barHeight } = frame;
  for (let row = first; row < last; row += 1) {
    const i = visible.rows[row];
    const turn = model.turns.get(i);
    if (!turn || turn.position === 0 || turn.saves === 0) continue;
    const start = model.spans[turn.first].start_offset;
    const x = scale.x(start);
    const end = scale.x(start + model.spans[i].duration);
    const left = Math.max(x, -2);
    const right = Math.min(Math.max(end, x + MIN_BAR), scale.width + 2);
    if (right <= 0 || left >= scale.width) continue;
    const y = barY(frame, row);
    group.append(
      s("rect", {
        class: "ghost",
        x: px(left) + 0.5,
        y: y + 0.5,
        width: px(Math.max(1, right - left - 1)),
        height: barHeight - 1,
        rx: 2.5,
      }),
    );
    if (turn.position < turn.sequence.calls.length - 1) continue;
    const label = ghostLabel(turn, Math.max(left, 0), right, Math.min(scale.x(model.spans[i].start_offset), scale.width));
    if (label) group.append(s("text", { class: "ghost-text", x: px(label.x), y: y + barHeight / 2, dy: "0.35em" }, label.text));
  }
  return group.childNodes.length > 0 ? group : null;
}

/**
 * What joining saves, in the box or between it and the call, whichever takes more words.
 * @param {import("./model.js").Turn} turn
 * @param {number} left Where the box begins.
 * @param {number} right Where it ends.
 * @param {number} start Where the call begins.
 */
function ghostLabel(turn, left, right, start) {
  const saves = duration(turn.saves);
  const texts =
    turn.sequence.certainty === "independent"
      ? [`could run here, ${saves} sooner`, `saves ${saves}`, `−${saves}`]
      : [`could run here if it does not need the one before: ${saves} sooner`, `if independent, ${saves} sooner`, `saves ${saves}?`];
  for (const text of texts) {
    const width = text.length * CHARACTER;
    if (width + 14 < right - left) return { x: left + 8, text };
    if (right < start && width + 14 < start - right) return { x: right + 7, text };
  }
  return null;
}

/**
 * From the end of a call to the start of the one that waited for it.
 * @param {Frame} frame
 */
function handovers(frame) {
  const { model, visible, scale, first, last, barHeight } = frame;
  let needless = "";
  let needed = "";
  for (let row = first; row < last; row += 1) {
    const i = visible.rows[row];
    const turn = model.turns.get(i);
    if (!turn || turn.previous === null) continue;
    const before = model.spans[turn.previous];
    const from = px(scale.x(before.start_offset + before.duration));
    const to = px(scale.x(model.spans[i].start_offset));
    if (to < 0 || from > scale.width) continue;
    const start = Math.max(barY(frame, visible.rowOf[turn.previous]) + barHeight, -frame.rowHeight);
    const end = barY(frame, row);
    if (end - start < 6) continue;
    const path = `M${from} ${start}V${end - 5}H${to}V${end - 1}m-3 -3l3 3l3 -3`;
    if (turn.saves > 0) needless += path;
    else needed += path;
  }
  if (!needless && !needed) return null;
  return s(
    "g",
    null,
    needed && s("path", { class: "handover needed", d: needed }),
    needless && s("path", { class: "handover", d: needless }),
  );
}

/**
 * One line through the bars that determine when the trace ends: a bar's underline, and a thin step to the next bar.
 * @param {Frame} frame
 */
function criticalPath(frame) {
  const { model, visible, scale, first, last, barHeight } = frame;
  const height = (last - first) * frame.rowHeight;
  /** @param {number} row */
  const y = (row) => Math.min(Math.max(barY(frame, row) + barHeight + 2, -10), height + 10);
  /** @param {number} x */
  const within = (x) => px(Math.min(Math.max(x, -4), scale.width + 4));
  let lines = "";
  let steps = "";
  let previous = /** @type {{ row: number, x: number } | null} */ (null);
  for (const segment of model.detail.critical_path) {
    const row = visible.rowOf[model.index.get(segment.span_id) ?? 0];
    const from = scale.x(segment.start_offset);
    const to = scale.x(segment.start_offset + segment.duration);
    if (to >= -4 && from <= scale.width + 4) {
      if (row >= first && row < last) lines += `M${within(from)} ${y(row)}H${within(to)}`;
      const isStep = previous !== null && previous.row !== row && Math.abs(previous.x - from) < 3;
      if (isStep && previous && Math.max(previous.row, row) >= first && Math.min(previous.row, row) < last) {
        steps += `M${within(from)} ${y(previous.row)}V${y(row)}`;
      }
    }
    previous = { row, x: to };
  }
  if (!lines && !steps) return null;
  return s(
    "g",
    { class: "critical" },
    steps && s("path", { class: "critical-step", d: steps }),
    lines && s("path", { class: "critical-path", d: lines }),
  );
}
