// Two traces on one axis.

import { api } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { copyButton, errorBox } from "../lib/feedback.js";
import { clock, duration, percent, shortName, withShortNames } from "../lib/format.js";
import { href, link, navigate } from "../lib/router.js";
import { legendOf } from "../waterfall/legend.js";
import { hasChildren } from "../waterfall/model.js";
import { createWaterfall } from "../waterfall/waterfall.js";

/** @import { TraceDetail, TraceSummary } from "../lib/api.js" */
/** @import { Route } from "../lib/router.js" */
/** @import { View } from "../app.js" */
/** @import { Waterfall } from "../waterfall/waterfall.js" */

/**
 * @param {HTMLElement} main
 * @param {Route} route
 * @returns {View}
 */
export function compareView(main, route) {
  const reading = new AbortController();
  const left = route.params.get("left");
  const right = route.params.get("right");
  /** @type {Waterfall[]} */
  let waterfalls = [];
  const place = h("div", { class: "compare-place" });
  const pickers = h("div", { class: "pickers" });
  const problems = h("div", { class: "compare-problems" });
  fill(
    main,
    h(
      "div",
      { class: "page wide" },
      h("div", { class: "title-row" }, h("h1", { tabindex: -1 }, "Compare"), h("p", { class: "quiet" }, "Two traces, drawn on one axis.")),
      pickers,
      problems,
      place,
    ),
  );

  async function load() {
    // One that fails does not take the others with it: a trace may have made room for newer ones.
    const [list, a, b] = await Promise.allSettled([
      api.traces(new URLSearchParams({ limit: "50" }), reading.signal),
      left ? api.trace(left, reading.signal) : null,
      right ? api.trace(right, reading.signal) : null,
    ]);
    if (reading.signal.aborted) return;
    const traces = valueOf(list)?.traces ?? [];
    fill(pickers, picker("First trace", "left", traces, valueOf(a)), picker("Second trace", "right", traces, valueOf(b)));
    fill(problems, problemOf("The list of traces", list), problemOf("The first trace", a), problemOf("The second trace", b));
    draw(valueOf(a), valueOf(b));
  }

  /** @param {string} label @param {"left" | "right"} name @param {TraceSummary[]} traces @param {TraceDetail | null} now */
  function picker(label, name, traces, now) {
    const list = now && !traces.some((trace) => trace.trace_id === now.trace.trace_id) ? [now.trace, ...traces] : traces;
    const select = h(
      "select",
      {
        class: "input",
        id: `compare-${name}`,
        on: { change: () => navigate(href("compare", null, { left, right, [name]: select.value })) },
      },
      h("option", { value: "" }, "Choose a trace"),
      list.map((trace) =>
        h(
          "option",
          { value: trace.trace_id },
          `${clock(trace.start_ms)}  ${shortName(trace.root?.name || "no root")}  ${duration(trace.duration)}`,
        ),
      ),
    );
    select.value = now?.trace.trace_id ?? "";
    return h("div", { class: "field wide" }, h("label", { for: select.id }, label), select);
  }

  /** @param {TraceDetail | null} a @param {TraceDetail | null} b */
  function draw(a, b) {
    const both = [a, b].filter((it) => it !== null);
    if (both.length === 0) {
      return fill(
        place,
        h(
          "section",
          { class: "empty" },
          h("h2", null, "Choose two traces"),
          h("p", null, "Choose them above, or tick two in the ", h("a", { href: href("traces") }, "list of traces"), "."),
        ),
      );
    }
    const whole = Math.max(...both.map((it) => it.trace.duration));
    waterfalls = both.map((detail, i) =>
      createWaterfall(detail, {
        label: `Spans of the ${i === 0 ? "first" : "second"} trace`,
        whole,
        onSelect: (at) => {
          if (at !== null) navigate(href("trace", detail.trace.trace_id, { span: detail.spans[at].span_id }));
        },
      }),
    );
    for (const waterfall of waterfalls) foldCalls(waterfall);
    fill(
      place,
      a && b && difference(a.trace, b.trace),
      both.map((detail, i) =>
        h(
          "section",
          { class: "compared", "aria-labelledby": `compared-${i}` },
          h(
            "div",
            { class: "compared-head" },
            h(
              "h2",
              { id: `compared-${i}` },
              h("a", { href: href("trace", detail.trace.trace_id) }, shortName(detail.trace.root?.name || "Trace")),
              h("span", { class: "quiet" }, ` ${clock(detail.trace.start_ms)}`),
            ),
            h("p", { class: "compared-figure number" }, duration(detail.trace.duration)),
          ),
          h("p", { class: "compared-verdict" }, withShortNames(detail.verdict[0] ?? "")),
          waterfalls[i].element,
        ),
      ),
      legendOf(...waterfalls.map((waterfall) => waterfall.model)),
      h("div", { class: "button-row" }, copyButton(link, "Copy the link to this comparison", "Copy link")),
    );
  }

  fill(place, h("p", { class: "loading", role: "status" }, "Reading the traces…"));
  load();
  return {
    title: "Compare",
    key: `compare/${left}/${right}`,
    find: () => document.getElementById("compare-left")?.focus(),
    destroy() {
      reading.abort();
      for (const waterfall of waterfalls) waterfall.destroy();
    },
  };
}

/**
 * Two traces fit one screen if what happens inside of the calls is folded away.
 * @param {Waterfall} waterfall
 */
function foldCalls({ model, setCollapsed }) {
  if (model.spans.length <= 8) return;
  const calls = model.detail.fan_outs.flatMap((fanOut) => fanOut.calls).map((id) => model.index.get(id));
  setCollapsed(new Set(calls.filter((i) => i !== undefined && hasChildren(model, i)).map(Number)));
}

/** @template T @param {PromiseSettledResult<T>} result @returns {T | null} */
const valueOf = (result) => (result.status === "fulfilled" ? result.value : null);

/** @param {string} what @param {PromiseSettledResult<unknown>} result */
const problemOf = (what, result) =>
  result.status === "rejected" &&
  errorBox(`${what} cannot be shown: ${result.reason instanceof Error ? result.reason.message : result.reason}`);

/** @param {TraceSummary} a @param {TraceSummary} b */
function difference(a, b) {
  const by = a.duration - b.duration;
  const [fast, slow] = by > 0 ? [b, a] : [a, b];
  const less = slow.duration - fast.duration;
  const figures = `${duration(fast.duration)} instead of ${duration(slow.duration)} (${percent(less, slow.duration)} less)`;
  const text =
    less < slow.duration * 0.02
      ? "Both took the same time."
      : `The ${by > 0 ? "second" : "first"} took ${duration(less)} less: ${figures}.`;
  return h("p", { class: "verdict" }, text);
}
