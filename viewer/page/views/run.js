// Requests through the gateway beside this page: the four questions, and a panel for one's own experiments.

import { api, ApiError } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { announce, commandLine, errorBox } from "../lib/feedback.js";
import { icon } from "../lib/icons.js";
import { questionCards } from "./questions.js";
import { createRunForm, FormError } from "./run-form.js";
import { comparisonSentence, runSentence } from "./run-sentences.js";
import { runsFigure } from "./runs-figure.js";

/** @import { Commands, Gateway, RunRequest } from "../lib/api.js" */
/** @import { Route } from "../lib/router.js" */
/** @import { View } from "../app.js" */

/** So many callers are drawn; the figures are of all. */
const MAX_DRAWN = 8;

/**
 * @param {HTMLElement} main
 * @param {Route} first
 * @returns {View}
 */
export function runView(main, first) {
  let isGone = false;
  /** @type {ReturnType<typeof createRunForm> | null} */
  let form = null;
  const place = h("div", null, h("p", { class: "loading", role: "status" }, "Asking for the gateway…"));
  fill(main, h("div", { class: "page" }, h("div", { class: "title-row" }, h("h1", { tabindex: -1 }, "Run")), place));

  async function load() {
    try {
      const status = await api.status();
      if (isGone) return;
      if (status.gateway === null) return fill(place, noGateway());
      const gateway = await api.gateway();
      if (isGone) return;
      const panel = createPanel(gateway, first.params);
      form = panel.form;
      fill(place, questionCards().element, panel.element);
    } catch (error) {
      if (!isGone) fill(place, errorBox(error));
    }
  }
  load();
  return { title: "Run", key: "run", find: () => form?.focus(), destroy: () => (isGone = true) };
}

function noGateway() {
  return h(
    "section",
    { class: "empty" },
    h("h2", null, "No gateway to run requests through"),
    h("p", null, "Start one with its backends, and this page with it:"),
    commandLine("fanout up"),
    h("p", null, "Or name one that runs already:"),
    commandLine("fanout view --gateway http://127.0.0.1:50051"),
    h("p", { class: "quiet" }, "Everything else works without: traces of any program, and files."),
  );
}

/** @param {Gateway} gateway @param {URLSearchParams} params */
function createPanel(gateway, params) {
  const form = createRunForm(gateway, params);
  const result = h("div", { class: "run-result", "aria-live": "off" });
  const runButton = h("button", { type: "submit", class: "button primary", id: "run" }, icon("play"), "Run");
  const compareButton = h(
    "button",
    { type: "button", class: "button", id: "compare", on: { click: () => start(compare) } },
    icon("compare"),
    "Compare all strategies",
  );
  const element = h(
    "section",
    { class: "panel", "aria-labelledby": "panel-title" },
    h("h2", { id: "panel-title" }, "Your own experiment"),
    h("p", { class: "quiet" }, `Requests go to ${gateway.url}. The settings are in this page's address: copy it to share them.`),
    h(
      "form",
      {
        novalidate: true,
        on: {
          submit: (event) => {
            event.preventDefault();
            start(run);
          },
        },
      },
      form.element,
      h("div", { class: "button-row" }, runButton, compareButton),
    ),
    result,
  );

  /** @param {(body: RunRequest) => Promise<void>} action */
  async function start(action) {
    let body;
    try {
      body = form.read();
    } catch (error) {
      failed(error);
      return;
    }
    runButton.disabled = compareButton.disabled = true;
    fill(result, h("p", { class: "loading", role: "status" }, "Running…"));
    try {
      await action(body);
    } catch (error) {
      failed(error);
    }
    runButton.disabled = compareButton.disabled = false;
  }

  /** @param {unknown} error */
  function failed(error) {
    fill(result, errorBox(error));
    if ((error instanceof FormError || error instanceof ApiError) && error.field) form.reject(error.field, error.message);
  }

  /** @param {RunRequest} body */
  async function run(body) {
    const { runs, elapsed, commands } = await api.run(body);
    const text = runSentence(runs, elapsed);
    fill(
      result,
      h("p", { class: "verdict" }, text),
      runsFigure(runs.slice(0, MAX_DRAWN), { title: (it, i) => (runs.length > 1 ? `Caller ${i + 1}` : it.strategy) }),
      runs.length > MAX_DRAWN && h("p", { class: "quiet" }, `The first ${MAX_DRAWN} of ${runs.length} callers are drawn.`),
      terminal(commands),
    );
    announce(text);
  }

  /** @param {RunRequest} body */
  async function compare({ strategy: _, ...body }) {
    const { results, commands } = await api.compare(body);
    const text = comparisonSentence(results);
    fill(result, h("p", { class: "verdict" }, text), runsFigure(results), terminal(commands));
    announce(text);
  }

  return { element, form };
}

/** @param {Commands | undefined} commands */
function terminal(commands) {
  const lines = Object.entries(commands ?? {});
  return (
    lines.length > 0 &&
    h(
      "section",
      { class: "terminal" },
      h("h3", null, "The same in a terminal"),
      lines.map(([tool, line]) => commandLine(line, tool)),
    )
  );
}
