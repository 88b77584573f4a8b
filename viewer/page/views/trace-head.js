// What is on top of a trace: its name, the verdict in words, and its figures.

import { api } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { copyButton } from "../lib/feedback.js";
import { isWorthwhile } from "../lib/figures.js";
import { clock, count, counted, date, duration, percent, shortName, withShortNames } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { href, link } from "../lib/router.js";

/** @import { TraceDetail } from "../lib/api.js" */

export const GONE = "The viewer no longer has this trace: it made room for newer ones. What is shown here is lost when the page is left.";

export const goneNote = () => h("p", { class: "note gone" }, icon("error"), h("span", null, GONE));

/**
 * A finding, with a way to its calls in the waterfall.
 * @param {TraceDetail} detail
 * @param {string} sentence
 * @param {(id: string) => void} show
 */
function finding({ fan_outs }, sentence, show) {
  const sequence = fan_outs.flatMap((it) => it.sequences).find((it) => sentence.endsWith(it.sentence));
  const id = sequence?.calls[1];
  return h(
    "li",
    null,
    withShortNames(sentence),
    id !== undefined && [" ", h("button", { type: "button", class: "text-button quiet", on: { click: () => show(id) } }, "Show it")],
  );
}

/** @param {TraceDetail} detail @param {boolean} stored @param {(id: string) => void} show */
export function headOf(detail, stored, show) {
  const { trace, verdict, problems, fan_outs, critical_path } = detail;
  const name = trace.root?.name || "A trace without a root";
  const [first, ...others] = verdict;
  const shown = others.slice(0, 3);
  const sum = fan_outs.reduce((all, it) => all + it.sum, 0);
  const id = trace.trace_id;
  return [
    h(
      "div",
      { class: "trace-title" },
      h(
        "div",
        null,
        h(
          "p",
          { class: "eyebrow" },
          trace.root?.service ?? "unknown service",
          h("span", { class: "quiet" }, ` · ${date(trace.start_ms)}, ${clock(trace.start_ms)}`),
          !trace.complete && h("span", { class: "badge" }, "incomplete"),
        ),
        h("h1", { tabindex: -1, title: name }, shortName(name)),
        h("p", { class: "quiet mono trace-id" }, id),
      ),
      h(
        "div",
        { class: "button-row" },
        copyButton(link, "Copy the link to what is shown", "Copy link"),
        stored &&
          h(
            "a",
            { class: "button quiet", href: api.downloadUrl(id), download: `trace-${id}.json`, id: "download" },
            icon("download"),
            "Download",
          ),
        stored && h("a", { class: "button quiet", href: href("compare", null, { left: id }) }, icon("compare"), "Compare"),
      ),
    ),
    first && h("p", { class: `verdict${isWorthwhile(trace.avoidable, trace.duration) ? " accent" : ""}` }, withShortNames(first)),
    shown.length > 0 &&
      h(
        "ul",
        { class: "verdict-more" },
        shown.map((sentence) => finding(detail, sentence, show)),
      ),
    others.length > shown.length &&
      h(
        "details",
        { class: "more" },
        h("summary", null, `${counted(others.length - shown.length, "more finding")}`),
        h(
          "ul",
          { class: "verdict-more" },
          others.slice(3, 203).map((sentence) => finding(detail, sentence, show)),
        ),
      ),
    problems.length > 0 &&
      h(
        "details",
        { class: "more" },
        h("summary", null, `${counted(problems.length, "thing")} in this trace had to be repaired`),
        h(
          "ul",
          null,
          problems.slice(0, 200).map((problem) => h("li", null, problem)),
        ),
      ),
    h(
      "dl",
      { class: "stats" },
      stat("Took", duration(trace.duration)),
      stat("All calls together", duration(sum)),
      stat("Saved by overlapping", duration(trace.saved)),
      stat(
        "Could still be saved",
        duration(trace.avoidable),
        isWorthwhile(trace.avoidable, trace.duration) ? percent(trace.avoidable, trace.duration) : "",
        isWorthwhile(trace.avoidable, trace.duration),
      ),
      stat("Spans", count(trace.spans), trace.errors > 0 ? counted(trace.errors, "error") : counted(trace.services.length, "service")),
    ),
    critical_path.length === 0 && h("p", { class: "quiet" }, "This trace has no spans with a duration."),
  ];
}

/** @param {string} name @param {string} value @param {string} [more] @param {boolean} [accent] */
const stat = (name, value, more, accent) =>
  h(
    "div",
    { class: accent ? "stat accent" : "stat" },
    h("dt", null, name),
    h("dd", null, value, more && h("span", { class: "stat-more" }, more)),
  );
