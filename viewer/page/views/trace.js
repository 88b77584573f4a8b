// A trace that the viewer has. It is read again while its spans still arrive.

import { api, ApiError } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { errorBox } from "../lib/feedback.js";
import { shortName } from "../lib/format.js";
import { onReconnection, onStatus, onTrace } from "../lib/live.js";
import { createReader } from "../lib/reader.js";
import { href } from "../lib/router.js";
import { createTracePage } from "./trace-page.js";

/** @import { Route } from "../lib/router.js" */
/** @import { View } from "../app.js" */

/** So many milliseconds after others made room it is looked whether this trace has. */
const CHECK = 10_000;

/**
 * @param {HTMLElement} main
 * @param {Route} first
 * @returns {View}
 */
export function traceView(main, first) {
  const id = first.id ?? "";
  /** @type {ReturnType<typeof createTracePage> | null} */
  let page = null;
  const reader = createReader(load, 500);
  const checker = createReader(reader.now, CHECK);
  let isGone = false;
  /** How many traces have made room. @type {number | null} */
  let evicted = null;

  /** @param {AbortSignal} signal */
  async function load(signal) {
    try {
      const detail = await api.trace(id, signal);
      if (signal.aborted) return;
      isGone = false;
      // Its first span may come after others.
      document.title = `${shortName(detail.trace.root?.name || "Trace")} · fanout`;
      if (page) return page.update(detail);
      page = createTracePage(detail, first.params, { stored: true });
      fill(main, page.element);
      // Who came by a link of this page hears what the trace is.
      if (document.activeElement === document.body) page.element.querySelector("h1")?.focus({ preventScroll: true });
    } catch (error) {
      if (signal.aborted) return;
      if (page) {
        // Otherwise the header says that the viewer does not answer, and the trace is read again when it does.
        if (error instanceof ApiError && error.status === 404) {
          isGone = true;
          page.gone();
        }
        return;
      }
      fill(
        main,
        h("h1", { tabindex: -1 }, "This trace cannot be shown"),
        errorBox(error),
        h(
          "p",
          null,
          "The viewer keeps the newest traces in memory; older ones make room. ",
          h("a", { href: href("traces") }, "All traces"),
        ),
      );
    }
  }

  const unsubscribe = [
    onReconnection(reader.now),
    onTrace((trace) => {
      if (trace.trace_id === id) reader.later();
    }),
    onStatus(({ dropped }) => {
      if (evicted !== null && dropped.traces !== evicted && page && !isGone) checker.later();
      evicted = dropped.traces;
    }),
  ];
  fill(main, h("p", { class: "loading", role: "status" }, "Reading the trace…"));
  reader.now();
  return {
    title: "Trace",
    key: `trace/${id}`,
    update: (now) => page?.apply(now.params),
    escape: () => page?.escape() ?? false,
    find: () => page?.find(),
    destroy() {
      checker.stop();
      reader.stop();
      for (const stop of unsubscribe) stop();
      page?.destroy();
    },
  };
}
