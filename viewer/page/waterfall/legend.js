// What the marks of a waterfall mean. Only those that the trace has.

import { h, s } from "../lib/dom.js";
import { serviceClass } from "../lib/services.js";

/** @import { Model } from "./model.js" */

/** @param {...Model} models */
export function legendOf(...models) {
  const services = [...new Set(models.flatMap((model) => model.services))];
  const turns = models.flatMap((model) => [...model.turns.values()]);
  const marks = [
    models.some((model) => model.critical.size > 0) &&
      item("Critical path: what decides when the trace ends", s("path", { class: "critical-path", d: "M0 9H9V4H24" })),
    models.some((model) => model.shades.length > 0) &&
      item("Overlap: calls run at the same time", s("rect", { class: "overlap", width: 24, height: 14 })),
    turns.some((turn) => turn.saves > 0) &&
      item("In turn: where a call could have run", s("rect", { class: "ghost", x: 0.5, y: 2.5, width: 23, height: 9, rx: 2.5 })),
    turns.some((turn) => turn.saves === 0) &&
      item("In turn, and needed", s("path", { class: "handover needed", d: "M4 1v6h12v5m-3 -3l3 3l3 -3" })),
  ];
  return h(
    "ul",
    { class: "legend", "aria-label": "Legend" },
    services
      .slice(0, 12)
      .map((service) => h("li", null, h("span", { class: `swatch ${serviceClass(service)}`, "aria-hidden": "true" }), service)),
    services.length > 12 && h("li", null, `and ${services.length - 12} more services`),
    marks,
  );
}

/** @param {string} text @param {SVGElement} mark */
const item = (text, mark) => h("li", null, s("svg", { width: 24, height: 14, viewBox: "0 0 24 14", "aria-hidden": "true" }, mark), text);
