// The time axis above the rows: ticks, and a drag over it to zoom in.

import { fill, h, s } from "../lib/dom.js";
import { tick } from "../lib/format.js";
import { ticks } from "./model.js";

/** @import { Period, Scale } from "./model.js" */

const HEIGHT = 28;

/**
 * @param {(period: Period | null) => void} zoomTo Null is the whole trace.
 */
export function createAxis(zoomTo) {
  const svg = s("svg", { class: "axis", height: HEIGHT, role: "img", "aria-label": "Time axis" });
  const element = h("div", { class: "axis-cell", title: "Drag to zoom in, double-click for the whole" }, svg);
  /** @type {Scale | null} */
  let scale = null;
  const brush = s("rect", { class: "brush", y: 0, height: HEIGHT, visibility: "hidden" });
  /** @type {number | null} */
  let begun = null;

  /** @param {PointerEvent} event */
  const at = (event) => Math.min(Math.max(event.clientX - svg.getBoundingClientRect().left, 0), scale?.width ?? 0);

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    begun = at(event);
    element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => {
    if (begun === null) return;
    const now = at(event);
    brush.setAttribute("x", String(Math.min(begun, now)));
    brush.setAttribute("width", String(Math.abs(now - begun)));
    brush.setAttribute("visibility", "visible");
  });
  element.addEventListener("pointerup", (event) => {
    if (begun === null || !scale) return;
    const [left, right] = [begun, at(event)].sort((a, b) => a - b);
    begun = null;
    brush.setAttribute("visibility", "hidden");
    if (right - left < 5) return;
    const { period, width } = scale;
    const perPixel = (period.to - period.from) / width;
    zoomTo({ from: period.from + left * perPixel, to: period.from + right * perPixel });
  });
  element.addEventListener("pointercancel", () => {
    begun = null;
    brush.setAttribute("visibility", "hidden");
  });
  element.addEventListener("dblclick", () => zoomTo(null));

  /** @param {Scale} now */
  function draw(now) {
    const isSame =
      scale !== null && scale.width === now.width && scale.period.from === now.period.from && scale.period.to === now.period.to;
    scale = now;
    if (isSame) return;
    const { step, at: points } = ticks(now);
    svg.setAttribute("width", String(now.width));
    fill(
      svg,
      points.map((point) => {
        const x = now.x(point);
        const isLast = x > now.width - 28;
        return [
          s("path", { class: "tick", d: `M${x} ${HEIGHT - 5}v5` }),
          s(
            "text",
            {
              class: "tick-text",
              x: isLast ? Math.min(x, now.width) : x < 10 ? 0 : x,
              y: 16,
              "text-anchor": isLast ? "end" : x < 10 ? "start" : "middle",
            },
            tick(point, step),
          ),
        ];
      }),
      brush,
    );
  }

  return { element, svg, draw };
}
