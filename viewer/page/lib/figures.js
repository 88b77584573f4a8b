// Small figures that lists share: a duration as a bar whose end could be saved, and how sure that is.

import { h, s } from "./dom.js";
import { duration } from "./format.js";

/** @import { Certainty } from "./api.js" */

/**
 * A bar of `whole` whose last part, `avoidable`, has the accent. The figures are written beside it.
 * @param {number} whole
 * @param {number} avoidable
 * @param {number} longest The duration that fills the width.
 */
export function durationBar(whole, avoidable, longest) {
  const share = Math.max(0.5, (whole / Math.max(1, longest)) * 100);
  const saved = Math.min(1, avoidable / Math.max(1, whole)) * share;
  return s(
    "svg",
    { class: "duration-bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true", height: 8 },
    s("rect", { class: "duration-kept", width: (share - saved).toFixed(2), height: 8 }),
    saved > 0 && s("rect", { class: "duration-avoidable", x: (share - saved).toFixed(2), width: saved.toFixed(2), height: 8 }),
  );
}

/** @type {{ [certainty in Certainty]: string }} */
const CERTAINTY = { independent: "for certain", dependent: "needed", unknown: "if independent" };

/** @param {Certainty} certainty */
export const certaintyWord = (certainty) => CERTAINTY[certainty] ?? certainty;

/**
 * Whether it is worth a colour: less is the time that it takes to start a call.
 * @param {number} avoidable
 * @param {number} whole
 */
export const isWorthwhile = (avoidable, whole) => avoidable > whole * 0.01;

/**
 * What could be saved, and under which condition.
 * @param {number} avoidable
 * @param {number} whole
 * @param {Certainty} certainty
 */
export function saving(avoidable, whole, certainty) {
  if (!isWorthwhile(avoidable, whole)) return h("span", { class: "quiet number" }, avoidable > 0 ? duration(avoidable) : "–");
  return h(
    "span",
    { class: "saving" },
    h("strong", { class: "number" }, duration(avoidable)),
    h("span", { class: "certainty" }, certaintyWord(certainty)),
  );
}
