// The keys, in a dialog.

import { h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { lettersAreOn, setLetters } from "../lib/keyboard.js";

/** @import { Shortcut } from "../lib/keyboard.js" */

/** @param {Shortcut[]} shortcuts */
export function createHelp(shortcuts) {
  const groups = [...new Set(shortcuts.map((it) => it.group))];
  const letters = h("input", {
    type: "checkbox",
    id: "letters",
    checked: lettersAreOn(),
    on: { change: () => setLetters(letters.checked) },
  });
  const dialog = h(
    "dialog",
    {
      class: "help",
      "aria-labelledby": "help-title",
      on: {
        click: (event) => {
          if (event.target === dialog) dialog.close();
        },
      },
    },
    h(
      "div",
      { class: "help-body" },
      h(
        "header",
        null,
        h("h2", { id: "help-title" }, "Keys"),
        h("button", { type: "button", class: "icon-button", "aria-label": "Close", on: { click: () => dialog.close() } }, icon("cross")),
      ),
      h(
        "div",
        { class: "help-groups" },
        groups.map((group) =>
          h(
            "section",
            null,
            h("h3", null, group),
            h(
              "dl",
              null,
              shortcuts
                .filter((it) => it.group === group)
                .map(({ keys, label }) =>
                  h(
                    "div",
                    null,
                    h(
                      "dt",
                      null,
                      keys.split(" ").map((key) => h("kbd", null, key)),
                    ),
                    h("dd", null, label),
                  ),
                ),
            ),
          ),
        ),
      ),
      h("label", { class: "check", for: "letters" }, letters, "Single letters are keys"),
    ),
  );
  document.body.append(dialog);
  return {
    open: () => {
      if (!dialog.open) dialog.showModal();
    },
  };
}
