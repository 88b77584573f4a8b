// Runs of a request on one axis: a bar for each call, overlap shaded, what decides the end underlined, and the figures.

import { h, hidden, s } from "../lib/dom.js";
import { isWorthwhile } from "../lib/figures.js";
import { duration, tick } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { href } from "../lib/router.js";
import { serviceClass } from "../lib/services.js";
import { joinedPeriods, scaleOf, ticks } from "../waterfall/model.js";

/** @import { Run } from "../lib/api.js" */

/** What is said of each strategy. @type {{ [strategy: string]: string }} */
export const STRATEGIES = { sequential: "One after the other", concurrent: "Joined in one task", spawned: "A task for each" };

/**
 * @param {Run[]} runs
 * @param {{ title?: (run: Run, i: number) => string }} [options]
 */
export function runsFigure(runs, options = {}) {
  const longest = Math.max(1, ...runs.map((run) => Math.max(run.wall, ...run.calls.map((call) => call.start_offset + call.duration))));
  const { step, at } = ticks(scaleOf({ from: 0, to: longest }, 600));
  const place = (/** @type {number} */ ns) => `${((ns / longest) * 100).toFixed(3)}%`;
  const title = options.title ?? ((run) => run.strategy);
  return h(
    "div",
    { class: "runs" },
    runs.map((run, i) =>
      h(
        "section",
        { class: `run${run.ok ? "" : " failed"}` },
        h(
          "header",
          null,
          h("h3", null, title(run, i), STRATEGIES[run.strategy] && h("span", { class: "quiet" }, ` ${STRATEGIES[run.strategy]}`)),
          h("p", { class: "run-took number" }, duration(run.wall)),
        ),
        !run.ok && h("p", { class: "run-error" }, icon("error"), `${run.code}: ${run.message}`),
        tracks(run, at, place),
        h(
          "div",
          { class: "run-figures" },
          h(
            "dl",
            null,
            figure("All calls together", duration(run.total)),
            figure("Saved by overlapping", duration(run.saved)),
            figure("Could still be saved", duration(run.avoidable), isWorthwhile(run.avoidable, run.wall)),
          ),
          run.trace_id && h("a", { href: href("trace", run.trace_id) }, "Open the trace"),
        ),
      ),
    ),
    h(
      "div",
      { class: "run-axis", "aria-hidden": "true" },
      h(
        "div",
        { class: "ticks" },
        at.map((ns) => h("span", { css: { left: place(ns) } }, tick(ns, step))),
      ),
    ),
    h(
      "ul",
      { class: "legend run-legend", "aria-label": "Legend" },
      h(
        "li",
        null,
        s("svg", { width: 24, height: 10, "aria-hidden": "true" }, s("path", { class: "critical-path", d: "M0 5H24" })),
        "Decides when it ends",
      ),
      runs.some((run) => overlapsOf(run).length > 0) &&
        h(
          "li",
          null,
          s("svg", { width: 24, height: 14, "aria-hidden": "true" }, s("rect", { class: "overlap", width: 24, height: 14 })),
          "Calls run at the same time",
        ),
      runs.some((run) => ghostsOf(run).size > 0) &&
        h(
          "li",
          null,
          s(
            "svg",
            { width: 24, height: 14, "aria-hidden": "true" },
            s("rect", { class: "ghost", x: 0.5, y: 2.5, width: 23, height: 9, rx: 2.5 }),
          ),
          "Where a call could have run",
        ),
    ),
  );
}

/**
 * Calls that could have started at once: the first of each chain, if it waited for another.
 * @param {Run} run
 */
function ghostsOf(run) {
  /** @type {Map<unknown, import("../lib/api.js").RunCall>} */
  const firsts = new Map();
  if (!isWorthwhile(run.avoidable, run.wall)) return new Set();
  run.calls.forEach((call, i) => {
    const chain = call.chain ?? `call ${i}`;
    const first = firsts.get(chain);
    if (!first || call.start_offset < first.start_offset) firsts.set(chain, call);
  });
  return new Set([...firsts.values()].filter((call) => call.start_offset > run.wall * 0.02));
}

/** The colour of the service that answers: `user` is called `user-service` in its spans. @param {string} backend */
const colour = (backend) => serviceClass(`${backend}-service`);

/** @param {Run} run @param {number[]} at @param {(ns: number) => string} place */
function tracks(run, at, place) {
  const ghosts = ghostsOf(run);
  const periods = overlapsOf(run);
  const shades = [];
  for (let i = 0; i < periods.length; i += 2) {
    shades.push(h("span", { class: "shade", css: { left: place(periods[i]), width: place(periods[i + 1] - periods[i]) } }));
  }
  return h(
    "div",
    { class: "tracks" },
    h(
      "div",
      { class: "track-back", "aria-hidden": "true" },
      at.map((ns) => h("span", { class: "track-tick", css: { left: place(ns) } })),
      shades,
    ),
    h(
      "ul",
      null,
      run.calls.map((call) => {
        const isOk = call.state === "ok" || call.state === "succeeded";
        const failed = /fail|error/i.test(call.state);
        return h(
          "li",
          { class: "call-row" },
          h(
            "span",
            { class: "call-name", title: call.method },
            h("span", { class: `swatch ${colour(call.name)}`, "aria-hidden": "true" }),
            call.name,
          ),
          h(
            "span",
            { class: "track" },
            ghosts.has(call) &&
              h("span", { class: "track-ghost", "aria-hidden": "true", css: { left: "0", width: place(call.duration) } }, "could run here"),
            h("span", {
              class: `track-bar ${colour(call.name)}${call.critical ? " critical" : ""}${failed ? " failed" : ""}`,
              css: { left: place(call.start_offset), width: place(call.duration) },
            }),
            hidden(
              [`starts at ${duration(call.start_offset)}`, call.critical && "decides the end", call.message].filter(Boolean).join(", "),
            ),
          ),
          h(
            "span",
            { class: "call-took number" },
            !isOk && h("span", { class: `state${failed ? " failed" : ""}`, title: call.message ?? null }, call.state),
            duration(call.duration),
          ),
        );
      }),
    ),
  );
}

/** Where two calls or more were running. @param {Run} run */
function overlapsOf(run) {
  const edges = run.calls
    .flatMap((call) => [
      [call.start_offset, 1],
      [call.start_offset + call.duration, -1],
    ])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const periods = [];
  let open = 0;
  let last = 0;
  for (const [at, step] of edges) {
    if (open > 1 && at > last) periods.push({ start_offset: last, duration: at - last });
    open += step;
    last = at;
  }
  return joinedPeriods(periods);
}

/** @param {string} name @param {string} value @param {boolean} [accent] */
const figure = (name, value, accent) =>
  h("div", { class: accent ? "accent" : "" }, h("dt", null, name), h("dd", { class: "number" }, value));
