// One row of a waterfall: what is read of a span. Its bar is in the picture beside the rows.

import { h, hidden } from "../lib/dom.js";
import { duration, shortName } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { serviceClass } from "../lib/services.js";
import { hasChildren } from "./model.js";

/** @import { Model } from "./model.js" */

/** Deeper spans are not indented further; their level is said, and written in the details. */
const MAX_INDENT = 12;

/**
 * @param {Model} model
 * @param {number} i
 * @param {{ isCollapsed: boolean, prefix: string, toggle: (i: number) => void }} options
 */
export function rowOf(model, i, { isCollapsed, prefix, toggle }) {
  const span = model.spans[i];
  const isParent = hasChildren(model, i);
  const isEntry = i === 0 || model.parents[i] < 0 || model.spans[model.parents[i]].service !== span.service;
  const hiddenSpans = model.ends[i] - i - 1;
  const turn = model.turns.get(i);
  const row = h(
    "div",
    {
      class: `row${span.error ? " failed" : ""}`,
      role: "row",
      id: `${prefix}${i}`,
      tabindex: -1,
      "data-index": i,
      "aria-level": span.depth + 1,
      "aria-expanded": isParent ? String(!isCollapsed) : null,
    },
    h(
      "div",
      { class: "cell name", role: "gridcell", css: { "--depth": String(Math.min(span.depth, MAX_INDENT)) } },
      h(
        "span",
        {
          class: `twisty${isParent ? "" : " none"}`,
          "aria-hidden": "true",
          on: {
            click: (event) => {
              event.stopPropagation();
              if (isParent) toggle(i);
            },
          },
        },
        isParent && icon("chevron"),
      ),
      h("span", { class: `swatch ${serviceClass(span.service)}`, "aria-hidden": "true" }),
      h("span", { class: "span-name", title: `${span.service} · ${span.name}` }, shortName(span.name) || "(no name)"),
      h("span", { class: `span-service${isEntry ? "" : " same"}` }, span.service),
      isCollapsed && isParent && h("span", { class: "badge" }, `+${hiddenSpans}`),
      turn &&
        turn.position > 0 &&
        turn.saves > 0 &&
        h("span", { class: "badge accent", title: turn.sequence.sentence }, icon("wait"), h("span", { class: "badge-text" }, "in turn")),
      span.error && h("span", { class: "badge error" }, icon("error"), h("span", { class: "badge-text" }, "error")),
    ),
    h("div", { class: "cell took", role: "gridcell" }, duration(span.duration)),
    h("div", { class: "cell time", role: "gridcell" }, hidden(spoken(model, i))),
  );
  return row;
}

/**
 * Whether two rows show the same, wherever they are.
 * @param {HTMLElement} a
 * @param {HTMLElement} b
 */
export const isSameRow = (a, b) =>
  ["class", "aria-level", "aria-expanded"].every((name) => a.getAttribute(name) === b.getAttribute(name)) &&
  a.childNodes.length === b.childNodes.length &&
  [...a.childNodes].every((child, at) => child.isEqualNode(b.childNodes[at] ?? null));

/**
 * What the bar shows, in words.
 * @param {Model} model
 * @param {number} i
 */
function spoken(model, i) {
  const span = model.spans[i];
  const words = [`starts at ${duration(span.start_offset)}`];
  if (model.critical.has(i)) words.push("on the critical path");
  const turn = model.turns.get(i);
  if (turn) {
    const saves = turn.position > 0 && turn.saves > 0 ? `: joining would save ${duration(turn.saves)}` : "";
    words.push(`call ${turn.position + 1} of ${turn.sequence.calls.length} in turn${saves}`);
  }
  const fanOut = model.byParent.get(i);
  if (fanOut && fanOut.saved > 0) words.push(`its calls overlap, which saved ${duration(fanOut.saved)}`);
  return words.join(", ");
}
