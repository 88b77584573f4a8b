// The traces that arrive, newest first.

import { api } from "../lib/api.js";
import { fill, h, hidden, refill } from "../lib/dom.js";
import { announce, errorBox } from "../lib/feedback.js";
import { count, counted } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { rove } from "../lib/keyboard.js";
import { onReconnection, onStatus, onTrace } from "../lib/live.js";
import { createReader } from "../lib/reader.js";
import { href, navigate } from "../lib/router.js";
import { createCounters } from "./counters.js";
import { noTraces } from "./empty.js";
import { createFilters } from "./filters.js";
import { rowOf } from "./trace-row.js";

/** @import { Status, TraceSummary } from "../lib/api.js" */
/** @import { Route } from "../lib/router.js" */
/** @import { View } from "../app.js" */

const PAGE = 50;
/** So often the viewer is asked for the rest of a page. */
const MAX_ROUNDS = 20;
/** So many new traces are counted while the list is read. */
const MAX_WAITING = 1_000;

/**
 * @param {HTMLElement} main
 * @param {Route} first
 * @returns {View}
 */
export function tracesView(main, first) {
  /** @type {Map<string, TraceSummary>} */
  let traces = new Map();
  /** @type {Map<string, { element: HTMLElement, drawn: string }>} */
  const rows = new Map();
  /** @type {string[]} */
  let chosen = [];
  /** @type {string | null} */
  let next = null;
  /** @type {Status | null} */
  let status = null;
  /** New ones that are not drawn. @type {Set<string>} */
  const waiting = new Set();
  let hasOlder = false;
  let frame = 0;
  let isLoaded = false;
  const reader = createReader(load, 1000);
  const newsReader = createReader(countNews, 1000);
  /** Of the older traces. */
  let readingMore = new AbortController();
  const filters = createFilters(first.params, () => reader.now());

  const counters = createCounters();
  const body = h("tbody", { role: "rowgroup" });
  const table = h(
    "table",
    { class: "list traces", role: "table", "aria-label": "Traces, newest first" },
    h(
      "thead",
      { role: "rowgroup" },
      h(
        "tr",
        { role: "row" },
        ["Compare", "Operation", "Started", "Took", "Could be saved", "Spans"].map((name, i) =>
          h(
            "th",
            { role: "columnheader", scope: "col", class: ["pick", "what", "when", "took", "save", "size"][i] },
            i === 0 ? hidden(name) : name,
          ),
        ),
      ),
    ),
    body,
  );
  const more = h("button", { type: "button", class: "button quiet load-more", on: { click: () => loadMore() } }, "Older traces");
  const news = h("button", {
    type: "button",
    class: "button pill",
    on: {
      click: () => {
        scrollTo({ top: 0 });
        reader.now();
      },
    },
  });
  const tray = h("div", { class: "tray", role: "region", "aria-label": "Chosen for comparison" });
  const place = h("div", { class: "list-place" });
  const roving = rove(body, "a.row-link", (link, key) => {
    if (key !== "x") return false;
    choose(/** @type {string} */ (link.dataset["trace"]));
    return true;
  });

  fill(
    main,
    h(
      "div",
      { class: "page" },
      h("div", { class: "title-row" }, h("h1", { tabindex: -1 }, "Traces"), counters.element),
      filters.toggle,
      filters.element,
      news,
      place,
      tray,
    ),
  );
  news.hidden = true;

  /** @param {AbortSignal} signal */
  async function load(signal) {
    readingMore.abort();
    newsReader.stop();
    try {
      const page = await read(null, signal);
      if (signal.aborted) return;
      traces = new Map(page.traces.map((trace) => [trace.trace_id, trace]));
      next = page.next;
      hasOlder = false;
      isLoaded = true;
      waiting.clear();
      draw();
    } catch (error) {
      if (!signal.aborted) fill(place, errorBox(error));
    }
  }

  /** Which of the new traces fit the filters is for the viewer to say. @param {AbortSignal} signal */
  async function countNews(signal) {
    try {
      const page = await read(null, signal);
      if (signal.aborted) return;
      for (const { trace_id } of page.traces) if (!traces.has(trace_id)) waiting.add(trace_id);
      draw();
    } catch {
      // The header says that the viewer does not answer; the next trace asks again.
    }
  }

  async function loadMore() {
    readingMore.abort();
    readingMore = new AbortController();
    const { signal } = readingMore;
    try {
      const page = await read(next, signal);
      if (signal.aborted) return;
      for (const trace of page.traces) traces.set(trace.trace_id, trace);
      next = page.next;
      hasOlder = true;
      announce(`${counted(page.traces.length, "more trace")}.`);
      draw();
    } catch (error) {
      if (!signal.aborted) place.append(errorBox(error));
    }
  }

  /**
   * The viewer answers with fewer than a page if it had to look at many traces for them: it is asked to go on.
   * @param {string | null} before
   * @param {AbortSignal} signal
   */
  async function read(before, signal) {
    /** @type {TraceSummary[]} */
    const found = [];
    let cursor = before;
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const query = filters.query();
      query.set("limit", String(PAGE - found.length));
      if (cursor) query.set("before", cursor);
      const page = await api.traces(query, signal);
      found.push(...page.traces);
      cursor = page.next;
      if (cursor === null || found.length >= PAGE) break;
    }
    return { traces: found, next: cursor };
  }

  /** Draws once for all that comes before the next frame: a tab that is hidden has none for as long as it is. */
  function schedule() {
    if (frame !== 0) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  }

  function draw() {
    const sorted = [...traces.values()].sort((a, b) => b.start_ms - a.start_ms);
    news.hidden = waiting.size === 0;
    // With filters no more than a page is asked for.
    const isMore = waiting.size >= (filters.isActive() ? PAGE : MAX_WAITING);
    news.textContent = isMore ? `${count(waiting.size)} or more new traces` : counted(waiting.size, "new trace");
    if (sorted.length === 0) {
      rows.clear();
      body.replaceChildren();
      fill(
        place,
        !isLoaded
          ? null
          : filters.isActive()
            ? h(
                "section",
                { class: "empty" },
                h("h2", null, "No trace matches"),
                h("p", null, "No trace that the viewer still has fits all of these filters."),
                h("button", { type: "button", class: "button", on: { click: () => filters.clear() } }, "Clear the filters"),
              )
            : noTraces(status),
      );
      return;
    }
    const longest = Math.max(...sorted.map((trace) => trace.duration));
    for (const [id, { element }] of rows) {
      if (traces.has(id)) continue;
      element.remove();
      rows.delete(id);
    }
    sorted.forEach((trace, position) => {
      const isChosen = chosen.includes(trace.trace_id);
      const drawn = `${JSON.stringify(trace)}${longest}${isChosen}`;
      const row = rows.get(trace.trace_id);
      let element = row?.element;
      if (!element || row?.drawn !== drawn) {
        const focused = element?.contains(document.activeElement) ? document.activeElement?.tagName : null;
        const made = rowOf(trace, { longest, isChosen, choose });
        element?.replaceWith(made);
        element = made;
        rows.set(trace.trace_id, { element, drawn });
        if (focused) /** @type {HTMLElement | null} */ (made.querySelector(focused.toLowerCase()))?.focus({ preventScroll: true });
      }
      if (body.children[position] !== element) body.insertBefore(element, body.children[position] ?? null);
    });
    if (place.firstElementChild !== table) fill(place, table, more);
    more.hidden = next === null;
    roving.refresh();
    drawTray();
  }

  /** @param {string} id */
  function choose(id) {
    chosen = chosen.includes(id) ? chosen.filter((other) => other !== id) : [...chosen, id].slice(-2);
    announce(`${chosen.length} of 2 chosen.`);
    draw();
  }

  function drawTray() {
    tray.hidden = chosen.length === 0;
    refill(
      tray,
      h("span", null, chosen.length === 1 ? "Choose one more trace to compare" : "2 traces chosen"),
      chosen.length === 2 &&
        h("button", { type: "button", class: "button primary", on: { click: compareChosen } }, icon("compare"), "Compare"),
      h(
        "button",
        {
          type: "button",
          class: "button quiet",
          on: {
            click: () => {
              chosen = [];
              draw();
            },
          },
        },
        "Clear",
      ),
    );
  }

  function compareChosen() {
    // The older one is on the left.
    const [left, right] = [...chosen].sort((a, b) => (traces.get(a)?.start_ms ?? 0) - (traces.get(b)?.start_ms ?? 0));
    navigate(href("compare", null, { left, right }));
  }

  const unsubscribe = [
    onReconnection(reader.now),
    onTrace((trace) => {
      if (!isLoaded) return;
      const isShown = traces.has(trace.trace_id);
      const isRead = scrollY > 300 || hasOlder;
      if (isShown) {
        traces.set(trace.trace_id, trace);
      } else if (filters.isActive()) {
        // Whether a trace fits them is for the viewer to say.
        return (isRead ? newsReader : reader).later();
      } else if (isRead) {
        // What is read does not move.
        if (waiting.size < MAX_WAITING) waiting.add(trace.trace_id);
      } else if (traces.size >= PAGE * 2) {
        // A list that has grown long is read anew.
        return reader.later();
      } else {
        traces.set(trace.trace_id, trace);
      }
      schedule();
    }),
    onStatus((now) => {
      const wasEmpty = status === null;
      status = now;
      counters.draw(now);
      if (wasEmpty && isLoaded && traces.size === 0) draw();
    }),
  ];
  drawTray();
  reader.now();
  return {
    title: "Traces",
    key: "traces",
    update: (now) => filters.set(now.params),
    find: () => filters.focus(),
    compare: () => chosen.length === 2 && compareChosen(),
    destroy() {
      reader.stop();
      newsReader.stop();
      readingMore.abort();
      filters.destroy();
      cancelAnimationFrame(frame);
      for (const stop of unsubscribe) stop();
    },
  };
}
