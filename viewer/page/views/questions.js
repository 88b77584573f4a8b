// The four questions: a claim, a button that runs it, and expected beside measured.

import { api } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { announce, commandLine, errorBox } from "../lib/feedback.js";
import { duration } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { href } from "../lib/router.js";

/** @import { Answer } from "../lib/api.js" */

/** @type {[string, string][]} */
const QUESTIONS = [
  ["Two awaits, one after the other", "The second call starts when the first has ended, so that both times add up."],
  ["Both at once", "Joined, the two calls take as long as the slower one of them."],
  ["Two callers at the same time", "Awaiting blocks one request, not the server: a second caller does not wait for the first."],
  ["When the second needs the first", "A call that needs the other's answer has to wait for it: joining saves nothing."],
];

export function questionCards() {
  const cards = QUESTIONS.map(([title, claim], i) => card(i + 1, title, claim));
  const all = h("button", { type: "button", class: "button", id: "run-all", on: { click: runAll } }, icon("play"), "Run all four");

  async function runAll() {
    all.disabled = true;
    for (const { run } of cards) await run();
    all.disabled = false;
  }

  return {
    element: h(
      "section",
      { class: "questions", "aria-labelledby": "questions-title" },
      h(
        "div",
        { class: "title-row" },
        h(
          "div",
          null,
          h("h2", { id: "questions-title" }, "Four questions, answered by running them"),
          h("p", { class: "quiet" }, "Each button sends real requests through the gateway and measures them."),
        ),
        all,
      ),
      h(
        "div",
        { class: "cards" },
        cards.map(({ element }) => element),
      ),
    ),
  };
}

/** @param {number} number @param {string} title @param {string} claim */
function card(number, title, claim) {
  const text = h("p", { class: "claim" }, claim);
  const result = h("div", { class: "card-result" }, h("p", { class: "quiet" }, "Not run yet."));
  const button = h(
    "button",
    { type: "button", class: "button", "aria-describedby": `question-${number}`, on: { click: run } },
    icon("play"),
    "Run it",
  );
  const element = h(
    "article",
    { class: "card", id: `card-${number}`, "aria-labelledby": `question-${number}` },
    h("header", null, h("span", { class: "card-number", "aria-hidden": "true" }, number), h("h3", { id: `question-${number}` }, title)),
    text,
    result,
    button,
  );

  /** @type {Promise<void> | null} */
  let running = null;

  /** Asks the question, or waits until it has been answered if it is being asked. */
  function run() {
    running ??= ask().finally(() => (running = null));
    return running;
  }

  async function ask() {
    button.disabled = true;
    element.classList.add("running");
    fill(result, h("p", { class: "quiet", role: "status" }, "Running…"));
    try {
      const answer = await api.question(number);
      // The viewer knows with which delays it asks.
      text.textContent = answer.claim;
      fill(result, answerOf(answer));
      scaleMeters(element.parentElement ?? element);
      const figures = `expected ${duration(answer.expected.duration)}, measured ${duration(answer.measured.duration)}`;
      announce(`${title}: ${figures}. ${answer.holds ? "It holds." : "It does not hold."}`);
    } catch (error) {
      fill(result, errorBox(error));
    }
    element.classList.remove("running");
    button.disabled = false;
    button.replaceChildren(icon("play"), "Run it again");
  }
  return { element, run };
}

/** The cards share one axis: what is joined is seen to take half. @param {HTMLElement} cards */
function scaleMeters(cards) {
  const meters = /** @type {HTMLElement[]} */ ([...cards.querySelectorAll(".meter")]);
  const longest = Math.max(1, ...meters.map((meter) => Number(meter.dataset["ns"])));
  for (const meter of meters) {
    meter.style.setProperty("width", `${Math.max(0.5, (Number(meter.dataset["ns"]) / longest) * 100).toFixed(2)}%`);
  }
}

/** @param {Answer} answer */
function answerOf({ expected, measured, holds, runs, commands }) {
  const isOneStrategy = new Set(runs.map((run) => run.strategy)).size === 1;
  const traces = runs.filter((run) => run.trace_id);
  return [
    h(
      "dl",
      { class: "expected" },
      h(
        "div",
        null,
        h("dt", null, "Expected"),
        h("dd", { class: "number" }, duration(expected.duration)),
        h("span", { class: "meter outlined", "aria-hidden": "true", "data-ns": expected.duration }),
      ),
      h(
        "div",
        null,
        h("dt", null, "Measured"),
        h("dd", { class: "number" }, duration(measured.duration)),
        h("span", { class: "meter", "aria-hidden": "true", "data-ns": measured.duration }),
      ),
    ),
    h("p", { class: "quiet how" }, expected.text),
    h(
      "p",
      { class: holds ? "holds" : "holds not" },
      icon(holds ? "check" : "cross"),
      holds ? "As expected" : `Not as expected: ${measured.text}`,
    ),
    traces.length > 0 &&
      h(
        "p",
        { class: "trace-links" },
        "See it: ",
        traces
          .slice(0, 4)
          .map((run, i) =>
            h(
              "a",
              { href: href("trace", run.trace_id) },
              isOneStrategy ? (traces.length === 1 ? "the trace" : `caller ${i + 1}`) : run.strategy,
            ),
          ),
      ),
    h(
      "details",
      { class: "more" },
      h("summary", null, "The same in a terminal"),
      Object.entries(commands ?? {}).map(([tool, line]) => commandLine(line, tool)),
    ),
  ];
}
