// One trace: its head, the waterfall, and the details of a span. For traces of the viewer and for those of a file.

import { h, refill } from "../lib/dom.js";
import { announce } from "../lib/feedback.js";
import { count } from "../lib/format.js";
import { replaceParams } from "../lib/router.js";
import { detailsOf } from "../waterfall/details.js";
import { legendOf } from "../waterfall/legend.js";
import { createWaterfall } from "../waterfall/waterfall.js";
import { GONE, goneNote, headOf } from "./trace-head.js";

/** @import { TraceDetail } from "../lib/api.js" */

/** So many collapsed spans are in the URL: with more it would be too long to be shared. */
const MAX_FOLDED = 40;

/**
 * @param {TraceDetail} detail
 * @param {URLSearchParams} params
 * @param {{ stored: boolean }} options Whether the viewer has the trace, so that it can be downloaded and compared.
 */
export function createTracePage(detail, params, { stored }) {
  let current = detail;
  /** Whether the viewer had the trace, and has it no longer. */
  let isGone = false;
  const heading = h("header", { class: "trace-head" });
  const waterfall = createWaterfall(detail, {
    label: "Spans of the trace",
    onSelect: (i) => select(i, true),
    onCollapse: (ids) => replaceParams({ fold: ids.length <= MAX_FOLDED ? ids.join(",") : null }),
    onPeriod: (period) => replaceParams({ from: period ? Math.round(period.from) : null, to: period ? Math.round(period.to) : null }),
  });
  const legend = h("div", { class: "legend-place" });
  const side = h("div", { class: "side" });
  const find = h("input", {
    type: "search",
    class: "input",
    placeholder: "Find a span",
    "aria-label": "Find a span by name, service or attribute",
    id: "find",
    autocomplete: "off",
  });
  const found = h("span", { class: "found quiet number", role: "status" });
  const element = h(
    "div",
    { class: "trace-page" },
    heading,
    h(
      "div",
      { class: "toolbar" },
      h(
        "form",
        {
          class: "find",
          role: "search",
          on: {
            submit: (event) => {
              event.preventDefault();
              findNext(1);
            },
          },
        },
        find,
        found,
      ),
      h(
        "div",
        { class: "button-row" },
        tool("Collapse all", () => waterfall.collapseAll()),
        tool("Expand all", () => waterfall.expandAll()),
        h(
          "span",
          { class: "zoom", role: "group", "aria-label": "Zoom" },
          tool("−", () => waterfall.zoom(2), "Zoom out (-)"),
          tool("Whole", () => waterfall.reset(), "The whole trace (0)"),
          tool("+", () => waterfall.zoom(0.5), "Zoom in (+)"),
        ),
      ),
      legend,
    ),
    h("div", { class: "split" }, waterfall.element, side),
  );

  /** @param {string} text @param {() => void} action @param {string} [label] */
  function tool(text, action, label) {
    return h(
      "button",
      { type: "button", class: "button quiet", "aria-label": label ?? null, title: label ?? null, on: { click: action } },
      text,
    );
  }

  function drawHead() {
    refill(heading, isGone && goneNote(), headOf(current, stored && !isGone, showSpan));
    refill(legend, legendOf(waterfall.model));
  }

  /** @param {string} id */
  function showSpan(id) {
    const i = waterfall.model.index.get(id);
    if (i === undefined) return;
    waterfall.reveal(i);
    waterfall.activate(i);
    select(i, true);
  }

  /** @param {number | null} i @param {boolean} [remember] */
  function select(i, remember = false) {
    waterfall.select(i);
    if (remember) replaceParams({ span: i === null ? null : waterfall.model.spans[i].span_id });
    element.classList.toggle("has-details", i !== null);
    if (i === null) {
      side.replaceChildren();
      return;
    }
    side.replaceChildren(detailsAt(i));
    // The details may cover the row that was chosen.
    waterfall.scrollTo(i);
    announce(`Details of ${waterfall.model.spans[i].name}. Escape closes them.`);
  }

  /** @param {number} i */
  const detailsAt = (i) =>
    detailsOf(waterfall.model, i, {
      close: () => {
        select(null, true);
        waterfall.activate(waterfall.active);
      },
      show: showSpan,
    });

  /** @param {1 | -1} step */
  function findNext(step) {
    const words = find.value.trim().toLowerCase();
    if (!words) return;
    const { spans } = waterfall.model;
    const matches = spans.flatMap((span, i) => (matching(span, words) ? [i] : []));
    if (matches.length === 0) {
      found.textContent = "none";
      return;
    }
    const next =
      step > 0
        ? (matches.find((i) => i > waterfall.active) ?? matches[0])
        : (matches.findLast((i) => i < waterfall.active) ?? matches[matches.length - 1]);
    found.textContent = `${count(matches.indexOf(next) + 1)} of ${count(matches.length)}`;
    waterfall.reveal(next);
    waterfall.activate(next, false);
    select(next, true);
  }
  find.addEventListener("input", () => (found.textContent = ""));
  find.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.shiftKey) return;
    event.preventDefault();
    findNext(-1);
  });

  /** What the URL says is shown. @param {URLSearchParams} now */
  function apply(now) {
    const { model, whole } = waterfall;
    const folded = (now.get("fold") ?? "")
      .split(",")
      .map((id) => model.index.get(id))
      .filter((i) => i !== undefined);
    if (folded.length > 0) waterfall.setCollapsed(new Set(folded));
    const from = Number(now.get("from") ?? NaN);
    const to = Number(now.get("to") ?? NaN);
    if (to > from && from >= 0 && to <= whole.to) waterfall.setPeriod({ from, to });
    const at = model.index.get(now.get("span") ?? "");
    if (at === undefined) return;
    waterfall.reveal(at);
    select(at);
    requestAnimationFrame(() => waterfall.activate(at, false));
  }

  drawHead();
  requestAnimationFrame(() => apply(params));
  return {
    element,
    /** @param {TraceDetail} now */
    update(now) {
      current = now;
      isGone = false;
      waterfall.update(now);
      drawHead();
      // What is read stays where it is, and is not said again.
      if (waterfall.selected !== null) refill(side, detailsAt(waterfall.selected));
      else if (side.childElementCount > 0) select(null, true);
    },
    /** The viewer has the trace no longer: it stays, and that is said. */
    gone() {
      if (isGone) return;
      isGone = true;
      drawHead();
      announce(GONE);
    },
    escape: () => {
      const isOpen = side.childElementCount > 0;
      if (isOpen) select(null, true);
      return isOpen;
    },
    apply,
    find: () => find.focus(),
    destroy: () => waterfall.destroy(),
  };
}

/** @param {import("../lib/api.js").Span} span @param {string} words */
function matching(span, words) {
  if (span.name.toLowerCase().includes(words) || span.service.toLowerCase().includes(words) || span.span_id === words) return true;
  return Object.entries(span.attributes ?? {}).some(([name, value]) =>
    `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`.toLowerCase().includes(words),
  );
}
