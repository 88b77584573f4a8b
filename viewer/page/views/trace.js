// A trace that the viewer has. It is read again while its spans still arrive.

import { api } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { errorBox } from "../lib/feedback.js";
import { shortName } from "../lib/format.js";
import { onTrace } from "../lib/live.js";
import { href } from "../lib/router.js";
import { createTracePage } from "./trace-page.js";

/** @import { Route } from "../lib/router.js" */
/** @import { View } from "../app.js" */

/**
 * @param {HTMLElement} main
 * @param {Route} first
 * @returns {View}
 */
export function traceView(main, first) {
  const reading = new AbortController();
  const id = first.id ?? "";
  /** @type {ReturnType<typeof createTracePage> | null} */
  let page = null;
  let timer = 0;

  async function load() {
    try {
      const detail = await api.trace(id, reading.signal);
      if (page) return page.update(detail);
      page = createTracePage(detail, first.params, { stored: true });
      document.title = `${shortName(detail.trace.root?.name || "Trace")} · fanout`;
      fill(main, page.element);
      // Who came by a link of this page hears what the trace is.
      if (document.activeElement === document.body) page.element.querySelector("h1")?.focus({ preventScroll: true });
    } catch (error) {
      if (reading.signal.aborted || page) return;
      fill(main, h("h1", { tabindex: -1 }, "This trace cannot be shown"), errorBox(error), h("p", null, "The viewer keeps the newest traces in memory; older ones make room. ", h("a", { href: href("traces") }, "All traces")));
    }
  }

  const unsubscribe = onTrace((trace) => {
    if (trace.trace_id !== id || timer !== 0) return;
    timer = setTimeout(() => {
      timer = 0;
      load();
    }, 500);
  });
  fill(main, h("p", { class: "loading", role: "status" }, "Reading the trace…"));
  load();
  return {
    title: "Trace",
    key: `trace/${id}`,
    update: (now) => page?.apply(now.params),
    escape: () => page?.escape() ?? false,
    find: () => page?.find(),
    destroy() {
      reading.abort();
      clearTimeout(timer);
      unsubscribe();
      page?.destroy();
    },
  };
}
