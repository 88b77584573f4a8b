// Operations, ranked by what joining their calls would save in a day.

import { api } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { errorBox } from "../lib/feedback.js";
import { certaintyWord, durationBar, isWorthwhile } from "../lib/figures.js";
import { count, duration, shortName, withShortNames } from "../lib/format.js";
import { rove } from "../lib/keyboard.js";
import { onReconnection, onStatus, onTrace } from "../lib/live.js";
import { createReader } from "../lib/reader.js";
import { href } from "../lib/router.js";
import { serviceClass } from "../lib/services.js";
import { noTraces } from "./empty.js";

/** @import { Operation, Status } from "../lib/api.js" */
/** @import { View } from "../app.js" */

/** How many milliseconds after an event the operations are read. */
const DELAY = 2_000;
/**
 * A trace counts when nothing of it has come for 3 s, or for 15 s if its root has not come, and no event says so: this long after the last
 * event they are read again.
 */
const SETTLED = [4_000, 16_000];

/**
 * @param {HTMLElement} main
 * @returns {View}
 */
export function operationsView(main) {
  const place = h("div", { class: "list-place" });
  /** @type {Status | null} */
  let status = null;
  /** What is drawn, or null if an error is. @type {string | null} */
  let drawn = null;
  /** @type {number[]} */
  let settling = [];
  const reader = createReader(load, DELAY);
  fill(
    main,
    h(
      "div",
      { class: "page" },
      h(
        "div",
        { class: "title-row" },
        h("h1", { tabindex: -1 }, "Operations"),
        h("p", { class: "quiet" }, "Ranked by what running their calls at the same time would save in a day, at the rate seen here."),
      ),
      place,
    ),
  );

  /** @param {AbortSignal} signal */
  async function load(signal) {
    try {
      const { operations } = await api.operations(signal);
      const now = JSON.stringify(operations);
      if (signal.aborted || now === drawn) return;
      drawn = now;
      draw(operations);
    } catch (error) {
      if (signal.aborted) return;
      drawn = null;
      fill(place, errorBox(error));
    }
  }

  /** @param {Operation[]} operations */
  function draw(operations) {
    if (operations.length === 0) return fill(place, noTraces(status));
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset["operation"];
    const longest = Math.max(...operations.map((it) => it.wall.p95));
    const body = h(
      "tbody",
      { role: "rowgroup" },
      operations.map((operation) => rowOf(operation, longest)),
    );
    const roving = rove(body, "a.row-link");
    const heads = [
      ["Operation", "what"],
      ["Seen", "seen"],
      ["Took, median", "took"],
      ["Took, p95", "p95"],
      ["Could save each", "save"],
      ["Could save a day", "day"],
    ];
    fill(
      place,
      h(
        "table",
        { class: "list operations", role: "table", "aria-label": "Operations, ranked by avoidable time" },
        h(
          "thead",
          { role: "rowgroup" },
          h(
            "tr",
            { role: "row" },
            heads.map(([name, kind]) => h("th", { role: "columnheader", scope: "col", class: kind }, name)),
          ),
        ),
        body,
      ),
    );
    roving.refresh();
    if (!focused) return;
    const link = /** @type {HTMLElement | null} */ (body.querySelector(`[data-operation="${CSS.escape(focused)}"]`));
    link?.focus({ preventScroll: true });
  }

  /** @param {Operation} operation @param {number} longest */
  function rowOf({ service, name, count: seen, wall, avoidable, saved_per_day, certainty, because, findings }, longest) {
    const has = isWorthwhile(avoidable.p95, wall.p95);
    return h(
      "tr",
      { role: "row" },
      h(
        "td",
        { role: "cell", class: "what" },
        h(
          "a",
          {
            class: "row-link",
            "data-operation": `${service} ${name}`,
            href: href("traces", null, { service, operation: name }),
            title: name,
          },
          shortName(name),
        ),
        h(
          "span",
          { class: "services" },
          h("span", { class: "service" }, h("span", { class: `swatch ${serviceClass(service)}`, "aria-hidden": "true" }), service),
        ),
        findings.length > 0 &&
          h(
            "ul",
            { class: "findings" },
            findings.slice(0, 5).map((finding) => h("li", null, withShortNames(finding))),
          ),
        has && because && h("p", { class: "because" }, h("strong", null, certaintyWord(certainty)), `: ${because}`),
      ),
      h("td", { role: "cell", class: "seen number", "data-label": "Seen" }, count(seen)),
      h(
        "td",
        { role: "cell", class: "took number", "data-label": "Took, median" },
        h("span", { class: "took-text" }, duration(wall.p50)),
        durationBar(wall.p50, avoidable.p50, longest),
      ),
      h("td", { role: "cell", class: "p95 number", "data-label": "Took, p95" }, duration(wall.p95)),
      h(
        "td",
        { role: "cell", class: "save number", "data-label": "Could save each" },
        has
          ? [h("strong", null, duration(avoidable.p50)), h("span", { class: "certainty" }, `p95 ${duration(avoidable.p95)}`)]
          : h("span", { class: "quiet" }, "–"),
      ),
      h(
        "td",
        { role: "cell", class: "day number", "data-label": "Could save a day" },
        has && saved_per_day > 0 ? h("strong", { class: "day-text" }, duration(saved_per_day)) : h("span", { class: "quiet" }, "–"),
      ),
    );
  }

  function settle() {
    for (const timer of settling) clearTimeout(timer);
    settling = SETTLED.map((after) => setTimeout(reader.later, after - DELAY));
  }

  /** What came a moment ago has not been counted yet, and its events are not known. */
  function readNow() {
    reader.now();
    settle();
  }

  const unsubscribe = [
    onStatus((now) => (status = now)),
    onReconnection(readNow),
    onTrace(() => {
      reader.later();
      settle();
    }),
  ];
  readNow();
  return {
    title: "Operations",
    key: "operations",
    destroy() {
      reader.stop();
      for (const timer of settling) clearTimeout(timer);
      for (const stop of unsubscribe) stop();
    },
  };
}
