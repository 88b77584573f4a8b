// A trace in the list of traces.

import { h, hidden } from "../lib/dom.js";
import { durationBar, saving } from "../lib/figures.js";
import { clock, count, counted, date, duration, isToday, shortName } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { href } from "../lib/router.js";
import { serviceClass } from "../lib/services.js";

/** @import { TraceSummary } from "../lib/api.js" */

/**
 * A trace as a row of the list.
 * @param {TraceSummary} trace
 * @param {{ longest: number, isChosen: boolean, choose: (id: string) => void }} options `longest` is the duration that fills the width.
 */
export function rowOf(trace, { longest, isChosen, choose }) {
  const id = trace.trace_id;
  // The one that was asked is the first.
  const services = [...trace.services].sort(
    (a, b) => Number(b === trace.root?.service) - Number(a === trace.root?.service) || a.localeCompare(b),
  );
  const name = shortName(trace.root?.name || "A trace without a root");
  return h(
    "tr",
    { role: "row", class: `${trace.errors > 0 ? "failed" : ""}${isChosen ? " chosen" : ""}` },
    h(
      "td",
      { role: "cell", class: "pick" },
      h("input", {
        type: "checkbox",
        tabindex: -1,
        checked: isChosen,
        "aria-label": `Compare ${name} of ${clock(trace.start_ms)}`,
        on: { change: () => choose(id) },
      }),
    ),
    h(
      "td",
      { role: "cell", class: "what" },
      h("a", { class: "row-link", href: href("trace", id), "data-trace": id, title: trace.root?.name }, name),
      h(
        "span",
        { class: "services" },
        services
          .slice(0, 5)
          .map((service) =>
            h("span", { class: "service" }, h("span", { class: `swatch ${serviceClass(service)}`, "aria-hidden": "true" }), service),
          ),
        services.length > 5 && ` +${services.length - 5}`,
      ),
    ),
    h(
      "td",
      { role: "cell", class: "when number" },
      clock(trace.start_ms),
      !isToday(trace.start_ms) && h("span", { class: "quiet" }, ` ${date(trace.start_ms)}`),
    ),
    h(
      "td",
      { role: "cell", class: "took number" },
      h("span", { class: "took-text" }, duration(trace.duration)),
      durationBar(trace.duration, trace.avoidable, longest),
    ),
    h("td", { role: "cell", class: "save" }, saving(trace.avoidable, trace.duration, trace.certainty)),
    h(
      "td",
      { role: "cell", class: "size number" },
      count(trace.spans),
      hidden(" spans"),
      trace.errors > 0 && h("span", { class: "badge error" }, icon("error"), counted(trace.errors, "error")),
      !trace.complete && h("span", { class: "badge", title: "Some of its spans have not come" }, "incomplete"),
    ),
  );
}
