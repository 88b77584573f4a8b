// Operations, ranked by what joining their calls would save in a day.

import { api } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { errorBox } from "../lib/feedback.js";
import { certaintyWord, durationBar, isWorthwhile } from "../lib/figures.js";
import { count, duration, shortName, withShortNames } from "../lib/format.js";
import { rove } from "../lib/keyboard.js";
import { onStatus, onTrace } from "../lib/live.js";
import { href } from "../lib/router.js";
import { serviceClass } from "../lib/services.js";
import { noTraces } from "./empty.js";

/** @import { Operation, Status } from "../lib/api.js" */
/** @import { View } from "../app.js" */

/**
 * @param {HTMLElement} main
 * @returns {View}
 */
export function operationsView(main) {
  const place = h("div", { class: "list-place" });
  /** @type {Status | null} */
  let status = null;
  let timer = 0;
  let drawn = "";
  let isGone = false;
  fill(main, h("div", { class: "page" },
    h("div", { class: "title-row" }, h("h1", { tabindex: -1 }, "Operations"), h("p", { class: "quiet" }, "Ranked by what running their calls at the same time would save in a day, at the rate seen here.")), place));

  async function load() {
    try {
      const { operations } = await api.operations();
      const now = JSON.stringify(operations);
      if (isGone || now === drawn) return;
      drawn = now;
      draw(operations);
    } catch (error) {
      if (!isGone) fill(place, errorBox(error));
    }
  }

  /** @param {Operation[]} operations */
  function draw(operations) {
    if (operations.length === 0) return fill(place, noTraces(status));
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset["operation"];
    const longest = Math.max(...operations.map((it) => it.wall.p95));
    const body = h("tbody", { role: "rowgroup" }, operations.map((operation) => rowOf(operation, longest)));
    const roving = rove(body, "a.row-link");
    const heads = [["Operation", "what"], ["Seen", "seen"], ["Took, median", "took"], ["Took, p95", "p95"], ["Could save each", "save"], ["Could save a day", "day"]];
    fill(place, h("table", { class: "list operations", role: "table", "aria-label": "Operations, ranked by avoidable time" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map(([name, kind]) => h("th", { role: "columnheader", scope: "col", class: kind }, name)))), body));
    roving.refresh();
    if (focused) /** @type {HTMLElement | null} */ (body.querySelector(`[data-operation="${CSS.escape(focused)}"]`))?.focus({ preventScroll: true });
  }

  /** @param {Operation} operation @param {number} longest */
  function rowOf({ service, name, count: seen, wall, avoidable, saved_per_day, certainty, because, findings }, longest) {
    const has = isWorthwhile(avoidable.p95, wall.p95);
    return h("tr", { role: "row" },
      h("td", { role: "cell", class: "what" },
        h("a", { class: "row-link", "data-operation": `${service} ${name}`, href: href("traces", null, { service, operation: name }), title: name }, shortName(name)),
        h("span", { class: "services" }, h("span", { class: "service" }, h("span", { class: `swatch ${serviceClass(service)}`, "aria-hidden": "true" }), service)),
        findings.length > 0 && h("ul", { class: "findings" }, findings.slice(0, 5).map((finding) => h("li", null, withShortNames(finding)))),
        has && because && h("p", { class: "because" }, h("strong", null, certaintyWord(certainty)), `: ${because}`)),
      h("td", { role: "cell", class: "seen number", "data-label": "Seen" }, count(seen)),
      h("td", { role: "cell", class: "took number", "data-label": "Took, median" }, h("span", { class: "took-text" }, duration(wall.p50)), durationBar(wall.p50, avoidable.p50, longest)),
      h("td", { role: "cell", class: "p95 number", "data-label": "Took, p95" }, duration(wall.p95)),
      h("td", { role: "cell", class: "save number", "data-label": "Could save each" }, has ? [h("strong", null, duration(avoidable.p50)), h("span", { class: "certainty" }, `p95 ${duration(avoidable.p95)}`)] : h("span", { class: "quiet" }, "–")),
      h("td", { role: "cell", class: "day number", "data-label": "Could save a day" }, has ? h("strong", { class: "day-text" }, duration(saved_per_day)) : h("span", { class: "quiet" }, "–")));
  }

  const unsubscribe = [
    onStatus((now) => (status = now)),
    onTrace(() => {
      if (timer === 0) timer = setTimeout(() => { timer = 0; load(); }, 2000);
    }),
  ];
  load();
  return {
    title: "Operations",
    key: "operations",
    destroy() {
      isGone = true;
      clearTimeout(timer);
      for (const stop of unsubscribe) stop();
    },
  };
}
