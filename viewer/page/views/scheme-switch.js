// Dark, light, or as the system says.

import { h } from "../lib/dom.js";
import { announce } from "../lib/feedback.js";
import { icon } from "../lib/icons.js";

const STORED = "fanout.scheme";
const ORDER = /** @type {const} */ (["auto", "light", "dark"]);
const WORDS = { auto: "as the system", light: "light", dark: "dark" };

export function createSchemeSwitch() {
  const root = document.documentElement;
  const now = () => /** @type {"auto" | "light" | "dark"} */ (root.dataset["scheme"] ?? "auto");
  const button = h("button", { type: "button", class: "icon-button scheme" });

  function draw() {
    const label = `Colours: ${WORDS[now()]}. Change`;
    button.replaceChildren(icon(now()));
    button.setAttribute("aria-label", label);
    button.title = label;
  }
  button.addEventListener("click", () => {
    const next = ORDER[(ORDER.indexOf(now()) + 1) % ORDER.length];
    if (next === "auto") delete root.dataset["scheme"];
    else root.dataset["scheme"] = next;
    try {
      localStorage.setItem(STORED, next);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    draw();
    announce(`Colours: ${WORDS[next]}.`);
  });
  draw();
  return button;
}
