// A trace as rows on a time axis. Only the rows in sight are in the document, so that ten thousand spans scroll like ten.

import { h, s } from "../lib/dom.js";
import { createAxis } from "./axis.js";
import { draw } from "./drawing.js";
import { hasChildren, modelOf, panned, scaleOf, visibleRows, wholePeriod, zoomed } from "./model.js";
import { isSameRow, rowOf } from "./row.js";

/** @import { TraceDetail } from "../lib/api.js" */
/** @import { Period } from "./model.js" */

/** Rows drawn beyond what is in sight, so that scrolling shows no gap. */
const OVERSCAN = 8;
const WIDE = { rowHeight: 32, barTop: 7, barHeight: 16 };
const NARROW = { rowHeight: 50, barTop: 28, barHeight: 14 };

const narrow = matchMedia("(max-width: 720px)");
let instances = 0;

/**
 * @typedef {{
 *   label: string,
 *   whole?: number,
 *   onSelect?: (index: number | null) => void,
 *   onCollapse?: (collapsed: string[]) => void,
 *   onPeriod?: (period: Period | null) => void,
 * }} Options `whole` is the axis's length if it is not the trace's own: two traces share it.
 */

/**
 * @param {TraceDetail} detail
 * @param {Options} options
 */
export function createWaterfall(detail, options) {
  const prefix = `w${(instances += 1)}-`;
  let model = modelOf(detail);
  let whole = wholePeriod(options.whole ?? detail.trace.duration);
  let period = whole;
  /** @type {Set<number>} */
  let collapsed = new Set();
  let visible = visibleRows(model, collapsed);
  let active = 0;
  /** @type {number | null} */
  let selected = null;
  /** @type {Map<number, HTMLElement>} */
  const rows = new Map();
  let frame = 0;

  const axis = createAxis((wanted) => setPeriod(wanted ?? whole));
  const head = h(
    "div",
    { class: "waterfall-head", "aria-hidden": "true" },
    h("div", { class: "head-name" }, "Span"),
    h("div", { class: "head-took" }, "Took"),
    axis.element,
  );
  const drawing = s("svg", { class: "drawing", "aria-hidden": "true" });
  const grid = h("div", { class: "rows", role: "treegrid", "aria-label": options.label, "aria-readonly": "true", "aria-colcount": 3 });
  const body = h("div", { class: "waterfall-body" }, grid, drawing);
  const element = h("div", { class: "waterfall" }, head, body);

  const size = () => (narrow.matches ? NARROW : WIDE);

  function schedule() {
    if (frame === 0) frame = requestAnimationFrame(render);
  }

  function render() {
    frame = 0;
    if (!element.isConnected || model.spans.length === 0) return;
    const { rowHeight, barTop, barHeight } = size();
    const total = visible.rows.length;
    // Everything is measured before anything is changed: the browser lays the page out once.
    const bounds = body.getBoundingClientRect();
    const axisBounds = axis.element.getBoundingClientRect();
    const style = getComputedStyle(axis.element);
    const [before, after] = [parseFloat(style.paddingLeft), parseFloat(style.paddingRight)];
    const first = Math.min(Math.max(0, Math.floor(-bounds.top / rowHeight) - OVERSCAN), total);
    const last = Math.max(first, Math.min(total, Math.ceil((innerHeight - bounds.top) / rowHeight) + OVERSCAN));

    body.style.setProperty("height", `${total * rowHeight}px`);
    grid.setAttribute("aria-rowcount", String(total));
    renderRows(first, last, rowHeight);

    const left = axisBounds.left - bounds.left + before;
    const width = Math.max(50, axisBounds.width - before - after);
    const scale = scaleOf(period, width);
    axis.draw(scale);
    drawing.style.setProperty("left", `${left}px`);
    drawing.style.setProperty("top", `${first * rowHeight}px`);
    drawing.setAttribute("width", String(width));
    drawing.setAttribute("height", String(Math.max(0, last - first) * rowHeight));
    drawing.replaceChildren(...draw({ model, visible, scale, first, last, rowHeight, barTop, barHeight }));
  }

  /** @param {number} first @param {number} last @param {number} rowHeight */
  function renderRows(first, last, rowHeight) {
    const wanted = new Set(visible.rows.subarray(first, last));
    // The focused row stays, or the keyboard would lose its place.
    wanted.add(active);
    for (const [i, row] of rows) {
      if (wanted.has(i)) continue;
      row.remove();
      rows.delete(i);
    }
    /** @type {Element | null} */
    let before = grid.firstElementChild;
    for (const i of [...wanted].sort((a, b) => a - b)) {
      let row = rows.get(i);
      if (!row) {
        row = rowAt(i);
        rows.set(i, row);
        grid.insertBefore(row, before);
      } else {
        before = row.nextElementSibling;
      }
      row.style.setProperty("top", `${visible.rowOf[i] * rowHeight}px`);
      row.setAttribute("aria-rowindex", String(visible.rowOf[i] + 1));
      row.setAttribute("aria-selected", String(i === selected));
      row.tabIndex = i === active ? 0 : -1;
    }
  }

  /** @param {number} i */
  const rowAt = (i) => rowOf(model, i, { isCollapsed: collapsed.has(i), prefix, toggle });

  /** Rows that changed are made anew. @param {(i: number, row: HTMLElement) => boolean} isChanged */
  function dropRows(isChanged) {
    const focused = grid.contains(document.activeElement);
    for (const [i, row] of rows) {
      if (!isChanged(i, row)) continue;
      row.remove();
      rows.delete(i);
    }
    if (frame !== 0) cancelAnimationFrame(frame);
    render();
    const row = rows.get(active);
    if (focused && !row?.contains(document.activeElement)) row?.focus({ preventScroll: true });
  }

  /** @param {Set<number>} now @param {number} [only] */
  function setCollapsed(now, only) {
    collapsed = now;
    visible = visibleRows(model, collapsed);
    active = visible.rows[visible.rowOf[active]];
    dropRows((i) => only === undefined || i === only);
    options.onCollapse?.([...collapsed].map((i) => model.spans[i].span_id));
  }

  /** @param {number} i */
  function toggle(i) {
    const now = new Set(collapsed);
    if (!now.delete(i)) now.add(i);
    setCollapsed(now, i);
  }

  /** @param {Period} wanted */
  function setPeriod(wanted) {
    period = wanted;
    const isWhole = period.from <= whole.from && period.to >= whole.to;
    element.classList.toggle("zoomed", !isWhole);
    options.onPeriod?.(isWhole ? null : period);
    schedule();
  }

  /** @param {number} i @param {boolean} [takeFocus] */
  function activate(i, takeFocus = true) {
    active = i;
    scrollTo(i);
    if (frame !== 0) cancelAnimationFrame(frame);
    render();
    if (takeFocus) rows.get(i)?.focus({ preventScroll: true });
  }

  /** @param {number} i */
  function scrollTo(i) {
    const { rowHeight } = size();
    const y = body.getBoundingClientRect().top + visible.rowOf[i] * rowHeight;
    const above = head.getBoundingClientRect().bottom;
    const below = innerHeight - bottomInset();
    if (y < above) scrollBy(0, y - above - rowHeight);
    else if (y + rowHeight > below) scrollBy(0, y + 2 * rowHeight - below);
  }

  /** What is covered at the bottom: the details, where there is no room beside the rows. */
  function bottomInset() {
    const sheet = document.querySelector(".side");
    return sheet && getComputedStyle(sheet).position === "fixed" ? sheet.getBoundingClientRect().height : 0;
  }

  /** @param {number | null} i */
  function select(i) {
    selected = i;
    for (const [at, row] of rows) row.setAttribute("aria-selected", String(at === i));
  }

  /** Shows a span, whatever hides it. @param {number} i */
  function reveal(i) {
    const now = new Set(collapsed);
    for (let parent = model.parents[i]; parent >= 0; parent = model.parents[parent]) now.delete(parent);
    if (now.size !== collapsed.size) setCollapsed(now);
  }

  /** @param {number} row */
  const moveTo = (row) => activate(visible.rows[Math.min(Math.max(row, 0), visible.rows.length - 1)]);

  /** @type {{ [key: string]: (row: number, i: number) => void }} */
  const keys = {
    ArrowDown: (row) => moveTo(row + 1),
    ArrowUp: (row) => moveTo(row - 1),
    j: (row) => moveTo(row + 1),
    k: (row) => moveTo(row - 1),
    PageDown: (row) => moveTo(row + Math.floor(innerHeight / size().rowHeight / 2)),
    PageUp: (row) => moveTo(row - Math.floor(innerHeight / size().rowHeight / 2)),
    Home: () => moveTo(0),
    End: () => moveTo(visible.rows.length - 1),
    ArrowRight: (row, i) => (collapsed.has(i) ? toggle(i) : hasChildren(model, i) && moveTo(row + 1)),
    ArrowLeft: (_, i) => (hasChildren(model, i) && !collapsed.has(i) ? toggle(i) : model.parents[i] >= 0 && activate(model.parents[i])),
    Enter: (_, i) => choose(i),
    " ": (_, i) => choose(i),
    "+": () => setPeriod(zoomed(period, whole, 0.5, centerOfActive())),
    "=": () => setPeriod(zoomed(period, whole, 0.5, centerOfActive())),
    "-": () => setPeriod(zoomed(period, whole, 2)),
    0: () => setPeriod(whole),
    "<": () => setPeriod(panned(period, whole, -0.25)),
    ">": () => setPeriod(panned(period, whole, 0.25)),
  };

  function centerOfActive() {
    const span = model.spans[active];
    return Math.min(Math.max(span.start_offset + span.duration / 2, period.from), period.to);
  }

  /** @param {number} i */
  function choose(i) {
    options.onSelect?.(i === selected ? null : i);
  }

  grid.addEventListener("focusin", (event) => {
    const row = /** @type {Element} */ (event.target).closest("[data-index]");
    if (!(row instanceof HTMLElement)) return;
    active = Number(row.dataset["index"]);
    for (const [i, other] of rows) other.tabIndex = i === active ? 0 : -1;
  });
  grid.addEventListener("keydown", (event) => {
    const action = keys[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    action(visible.rowOf[active], active);
  });
  grid.addEventListener("click", (event) => {
    const row = /** @type {Element} */ (event.target).closest("[data-index]");
    if (!(row instanceof HTMLElement)) return;
    const i = Number(row.dataset["index"]);
    activate(i);
    choose(i);
  });
  body.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey || event.deltaY === 0) return;
      event.preventDefault();
      const { left, width } = axis.svg.getBoundingClientRect();
      const at = period.from + ((event.clientX - left) / width) * (period.to - period.from);
      setPeriod(zoomed(period, whole, event.deltaY < 0 ? 0.8 : 1.25, Math.min(Math.max(at, period.from), period.to)));
    },
    { passive: false },
  );

  const listening = new AbortController();
  addEventListener("scroll", schedule, { passive: true, signal: listening.signal });
  addEventListener("resize", schedule, { signal: listening.signal });
  narrow.addEventListener("change", schedule, { signal: listening.signal });
  const observer = new ResizeObserver(schedule);
  observer.observe(element);
  schedule();

  return {
    element,
    get model() {
      return model;
    },
    get period() {
      return period;
    },
    get whole() {
      return whole;
    },
    get active() {
      return active;
    },
    get selected() {
      return selected;
    },
    select,
    reveal,
    activate,
    setPeriod,
    scrollTo,
    setCollapsed: (/** @type {Set<number>} */ now) => setCollapsed(now),
    collapseAll: () => setCollapsed(new Set([...model.spans.keys()].filter((i) => i > 0 && hasChildren(model, i)))),
    expandAll: () => setCollapsed(new Set()),
    zoom: (/** @type {number} */ factor) => setPeriod(zoomed(period, whole, factor, centerOfActive())),
    reset: () => setPeriod(whole),
    /** More spans of the same trace have arrived. @param {TraceDetail} now */
    update(now) {
      const ids = new Set([...collapsed].map((i) => model.spans[i].span_id));
      const activeId = model.spans[active]?.span_id ?? "";
      const selectedId = selected === null ? null : model.spans[selected].span_id;
      const wasWhole = period.from <= whole.from && period.to >= whole.to;
      model = modelOf(now);
      whole = wholePeriod(options.whole ?? now.trace.duration);
      if (wasWhole || period.to > whole.to) period = whole;
      collapsed = new Set([...ids].map((id) => model.index.get(id)).filter((i) => i !== undefined));
      visible = visibleRows(model, collapsed);
      active = model.index.get(activeId) ?? 0;
      selected = selectedId === null ? null : (model.index.get(selectedId) ?? null);
      // The others stay: a screen reader would say the focused one again.
      dropRows((i, row) => i >= model.spans.length || !isSameRow(row, rowAt(i)));
    },
    destroy() {
      listening.abort();
      observer.disconnect();
      if (frame !== 0) cancelAnimationFrame(frame);
    },
  };
}

/** @typedef {ReturnType<typeof createWaterfall>} Waterfall */
