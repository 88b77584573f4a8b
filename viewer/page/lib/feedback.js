// What a screen reader is told, and lines to copy.

import { h } from "./dom.js";
import { icon } from "./icons.js";

const live = h("div", { class: "sr", role: "status", "aria-live": "polite" });

/** Adds the region that screen readers listen to. */
export const installAnnouncer = () => document.body.append(live);

/**
 * Says a sentence to who cannot see that something changed.
 * @param {string} text
 */
export function announce(text) {
  // The same text twice would be said once.
  live.textContent = live.textContent === text ? `${text}\u00a0` : text;
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} False if the browser did not allow it.
 */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied.");
    return true;
  } catch {
    announce("The browser does not allow copying: select the text and copy it.");
    return false;
  }
}

/**
 * A button that copies a text, and says so for a moment.
 * @param {() => string} text
 * @param {string} label
 * @param {string} [visible] Written on it; else it is only an icon.
 */
export function copyButton(text, label, visible) {
  const button = h(
    "button",
    { type: "button", class: visible ? "button quiet" : "icon-button", "aria-label": visible ? null : label, title: label },
    icon("copy"),
    visible,
  );
  button.addEventListener("click", async () => {
    const copied = await copy(text());
    button.replaceChildren(icon(copied ? "check" : "cross"), visible ? (copied ? "Copied" : "Not allowed") : "");
    setTimeout(() => button.replaceChildren(icon("copy"), visible ?? ""), 1500);
  });
  return button;
}

/**
 * A command line with a button to copy it.
 * @param {string} command
 * @param {string} [name] What it is, before the line.
 */
export function commandLine(command, name) {
  return h(
    "div",
    { class: "command" },
    name && h("span", { class: "command-name" }, name),
    h("code", { tabindex: 0, "aria-label": `${name ? `${name}: ` : ""}${command}`, role: "textbox", "aria-readonly": "true" }, command),
    copyButton(() => command, `Copy ${name ?? "the line"}`),
  );
}

/** @param {unknown} error */
export function errorBox(error) {
  const message = error instanceof Error ? error.message : String(error);
  return h("p", { class: "error-box", role: "alert" }, icon("error"), h("span", null, message));
}
