// A trace prepared for drawing: pure, no document. Linear in the number of spans.

/** @import { FanOut, Segment, Sequence, Span, TraceDetail } from "../lib/api.js" */

/**
 * @typedef {{
 *   sequence: Sequence, fanOut: FanOut, position: number, first: number, previous: number | null, saves: number
 * }} Turn A call's place in calls that ran one after another: which of them it is, the first one and the one before (as indices of spans).
 */

/**
 * @typedef {{
 *   detail: TraceDetail,
 *   spans: Span[],
 *   index: Map<string, number>,
 *   parents: Int32Array,
 *   ends: Int32Array,
 *   turns: Map<number, Turn>,
 *   critical: Map<number, Segment[]>,
 *   shades: { fanOut: FanOut, owner: number, periods: Float64Array }[],
 *   byParent: Map<number, FanOut>,
 *   services: string[],
 * }} Model `ends[i]` is the index after the last descendant of span i.
 */

/**
 * @param {TraceDetail} detail
 * @returns {Model}
 */
export function modelOf(detail) {
  const { spans } = detail;
  const index = new Map(spans.map((span, i) => [span.span_id, i]));
  const { parents, ends } = tree(spans);

  /** @type {Map<number, Turn>} */
  const turns = new Map();
  /** @type {Map<number, FanOut>} */
  const byParent = new Map();
  const shades = [];
  for (const fanOut of detail.fan_outs) {
    const owner = index.get(fanOut.span_id);
    if (owner === undefined) continue;
    byParent.set(owner, fanOut);
    if (fanOut.overlaps.length > 0) shades.push({ fanOut, owner, periods: joinedPeriods(fanOut.overlaps) });
    for (const sequence of fanOut.sequences) addTurns(turns, index, fanOut, sequence);
  }

  /** @type {Map<number, Segment[]>} */
  const critical = new Map();
  for (const segment of detail.critical_path) {
    const at = index.get(segment.span_id);
    if (at === undefined) continue;
    const segments = critical.get(at);
    if (segments) segments.push(segment);
    else critical.set(at, [segment]);
  }
  const services = [...new Set(spans.map((span) => span.service))];
  return { detail, spans, index, parents, ends, turns, critical, shades, byParent, services };
}

/**
 * Spans come in the order of the tree: a span's descendants are those that follow it and are deeper.
 * @param {Span[]} spans
 */
function tree(spans) {
  const parents = new Int32Array(spans.length).fill(-1);
  const ends = new Int32Array(spans.length).fill(spans.length);
  /** @type {number[]} */
  const open = [];
  spans.forEach((span, i) => {
    while (open.length > 0 && spans[open[open.length - 1]].depth >= span.depth) {
      const closed = /** @type {number} */ (open.pop());
      ends[closed] = i;
    }
    parents[i] = open.length > 0 ? open[open.length - 1] : -1;
    open.push(i);
  });
  return { parents, ends };
}

/**
 * @param {Map<number, Turn>} turns
 * @param {Map<string, number>} index
 * @param {FanOut} fanOut
 * @param {Sequence} sequence
 */
function addTurns(turns, index, fanOut, sequence) {
  const calls = sequence.calls.map((id) => index.get(id)).filter((at) => at !== undefined);
  const saves = sequence.certainty === "dependent" ? 0 : Math.max(0, sequence.took - sequence.together);
  calls.forEach((call, position) => {
    turns.set(call, { sequence, fanOut, position, first: calls[0], previous: position > 0 ? calls[position - 1] : null, saves });
  });
}

/**
 * Periods that touch are one: as pairs of start and end, sorted.
 * @param {{ start_offset: number, duration: number }[]} periods
 * @returns {Float64Array}
 */
export function joinedPeriods(periods) {
  const sorted = [...periods].sort((a, b) => a.start_offset - b.start_offset);
  /** @type {number[]} */
  const joined = [];
  for (const { start_offset, duration } of sorted) {
    const end = start_offset + duration;
    if (joined.length > 0 && start_offset <= joined[joined.length - 1]) {
      joined[joined.length - 1] = Math.max(joined[joined.length - 1], end);
    } else {
      joined.push(start_offset, end);
    }
  }
  return Float64Array.from(joined);
}

/**
 * @typedef {{ rows: Int32Array, rowOf: Int32Array }} Visible `rows[row]` is a span; `rowOf[span]` is its row, or that of the collapsed
 * ancestor that hides it.
 */

/**
 * @param {Model} model
 * @param {ReadonlySet<number>} collapsed
 * @returns {Visible}
 */
export function visibleRows(model, collapsed) {
  const rowOf = new Int32Array(model.spans.length);
  const rows = new Int32Array(model.spans.length);
  let count = 0;
  for (let i = 0; i < model.spans.length;) {
    rows[count] = i;
    if (collapsed.has(i)) {
      rowOf.fill(count, i, model.ends[i]);
      i = model.ends[i];
    } else {
      rowOf[i] = count;
      i += 1;
    }
    count += 1;
  }
  return { rows: rows.subarray(0, count), rowOf };
}

/** @param {Model} model @param {number} i */
export const hasChildren = (model, i) => model.ends[i] > i + 1;

/** @typedef {{ from: number, to: number }} Period In nanoseconds after the trace's start. */

/**
 * @typedef {{ period: Period, width: number, x: (ns: number) => number }} Scale
 */

/**
 * @param {Period} period
 * @param {number} width In pixels.
 * @returns {Scale}
 */
export function scaleOf(period, width) {
  const factor = width / Math.max(1, period.to - period.from);
  return { period, width, x: (ns) => (ns - period.from) * factor };
}

const STEPS = [1, 2, 5];

/**
 * Round points of time, about `distance` pixels apart.
 * @param {Scale} scale
 * @param {number} [distance]
 * @returns {{ step: number, at: number[] }}
 */
export function ticks({ period, width }, distance = 90) {
  const wanted = ((period.to - period.from) * distance) / Math.max(1, width);
  let power = 10 ** Math.floor(Math.log10(Math.max(1, wanted)));
  let step = power;
  for (let i = 0; step < wanted; i += 1) {
    if (i === STEPS.length) {
      i = 0;
      power *= 10;
    }
    step = STEPS[i] * power;
  }
  const at = [];
  for (let t = Math.ceil(period.from / step) * step; t <= period.to; t += step) at.push(t);
  return { step, at };
}

/** The whole trace: never empty. @param {number} duration @returns {Period} */
export const wholePeriod = (duration) => ({ from: 0, to: Math.max(1, duration) });

/**
 * Zooms around a point, within the whole.
 * @param {Period} period @param {Period} whole @param {number} factor Below 1 zooms in. @param {number} [center]
 * @returns {Period}
 */
export function zoomed(period, whole, factor, center = (period.from + period.to) / 2) {
  const length = Math.min(whole.to - whole.from, Math.max(1000, (period.to - period.from) * factor));
  const share = (center - period.from) / Math.max(1, period.to - period.from);
  return clamped({ from: center - length * share, to: center + length * (1 - share) }, whole);
}

/** @param {Period} period @param {Period} whole @param {number} share Of what is shown; negative is to the left. @returns {Period} */
export function panned(period, whole, share) {
  const by = (period.to - period.from) * share;
  return clamped({ from: period.from + by, to: period.to + by }, whole);
}

/** @param {Period} period @param {Period} whole @returns {Period} */
function clamped({ from, to }, whole) {
  const length = Math.min(to - from, whole.to - whole.from);
  const start = Math.min(Math.max(from, whole.from), whole.to - length);
  return { from: start, to: start + length };
}
