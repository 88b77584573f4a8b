// Everything that is known of one span.

import { h } from "../lib/dom.js";
import { count, counted, duration, percent, shortName, withShortNames } from "../lib/format.js";
import { copyButton } from "../lib/feedback.js";
import { icon } from "../lib/icons.js";
import { href } from "../lib/router.js";
import { serviceClass } from "../lib/services.js";

/** @import { Attributes } from "../lib/api.js" */
/** @import { Model } from "./model.js" */

/** Longer values are cut, and copied whole. */
const MAX_TEXT = 2000;

/**
 * @param {Model} model
 * @param {number} i
 * @param {{ close: () => void, show: (id: string) => void }} actions
 */
export function detailsOf(model, i, { close, show }) {
  const span = model.spans[i];
  const source = model.detail.sources[span.source ?? -1];
  const turn = model.turns.get(i);
  const fanOut = model.byParent.get(i);
  const critical = (model.critical.get(i) ?? []).reduce((sum, segment) => sum + segment.duration, 0);
  const whole = model.detail.trace.duration;
  const title = h("h2", { title: span.name }, shortName(span.name) || "(no name)");
  return h(
    "aside",
    {
      class: "details",
      "aria-label": "Span details",
      on: {
        keydown: (event) => {
          if (event.key === "Escape") {
            event.stopPropagation();
            close();
          }
        },
      },
    },
    h(
      "div",
      { class: "details-head" },
      h(
        "div",
        null,
        h(
          "p",
          { class: "eyebrow" },
          h("span", { class: `swatch ${serviceClass(span.service)}`, "aria-hidden": "true" }),
          span.service,
          h("span", { class: "quiet" }, ` · ${kind(span.kind)}`),
        ),
        title,
      ),
      h(
        "button",
        { type: "button", class: "icon-button", "aria-label": "Close the details", title: "Close (Esc)", on: { click: close } },
        icon("cross"),
      ),
    ),
    h(
      "div",
      { class: "details-body" },
      span.error &&
        h("p", { class: "note error" }, icon("error"), h("span", null, span.status_message || "This span ended with an error.")),
      turn &&
        turn.position > 0 &&
        h(
          "div",
          { class: `note${turn.saves > 0 ? " accent" : ""}` },
          icon("wait"),
          h(
            "div",
            null,
            h("p", null, withShortNames(turn.sequence.sentence)),
            turn.previous !== null &&
              h(
                "button",
                {
                  type: "button",
                  class: "text-button",
                  on: { click: () => show(model.spans[/** @type {number} */ (turn.previous)].span_id) },
                },
                `It started after ${shortName(model.spans[turn.previous].name)} ended`,
              ),
          ),
        ),
      figures([
        ["Took", duration(span.duration)],
        ["Starts at", duration(span.start_offset)],
        ["On the critical path", critical > 0 ? `${duration(critical)} (${percent(critical, whole)})` : "no"],
      ]),
      fanOut &&
        section(
          `Its ${counted(fanOut.calls.length, "call")}`,
          figures([
            ["Together, one after the other", duration(fanOut.sum)],
            ["Some call was running", duration(fanOut.union)],
            ["Saved by overlapping", duration(fanOut.saved)],
            ["Could still be saved", duration(fanOut.avoidable)],
          ]),
        ),
      attributes("Attributes", span.attributes),
      (span.events?.length ?? 0) > 0 &&
        section(
          counted(span.events?.length ?? 0, "event"),
          h(
            "ol",
            { class: "events" },
            (span.events ?? [])
              .slice(0, 200)
              .map((event) =>
                h(
                  "li",
                  null,
                  h("p", null, h("span", { class: "number" }, duration(event.offset)), h("strong", null, event.name)),
                  table(event.attributes),
                ),
              ),
          ),
        ),
      (span.links?.length ?? 0) > 0 &&
        section(
          counted(span.links?.length ?? 0, "link"),
          h(
            "ul",
            { class: "links" },
            (span.links ?? []).map((link) =>
              h(
                "li",
                null,
                h(
                  "a",
                  { href: href("trace", link.trace_id, { span: link.span_id }) },
                  `trace ${link.trace_id.slice(0, 8)}… span ${link.span_id}`,
                ),
                table(link.attributes),
              ),
            ),
          ),
        ),
      attributes("Resource", source?.resource),
      section(
        "Identity",
        table({
          name: span.name,
          "span id": span.span_id,
          parent: span.parent_span_id ?? "none",
          level: span.depth + 1,
          ...(source?.scope?.name ? { "instrumented by": `${source.scope.name} ${source.scope.version ?? ""}`.trim() } : {}),
        }),
      ),
    ),
  );
}

/** @param {string} kind */
function kind(kind) {
  /** @type {{ [kind: string]: string }} */
  const words = {
    client: "outgoing call",
    server: "incoming call",
    producer: "sends a message",
    consumer: "receives a message",
    internal: "internal work",
  };
  return words[kind] ?? "span";
}

/** @param {string} title @param {...(Node | false | null)} children */
const section = (title, ...children) => h("section", null, h("h3", null, title), children);

/** @param {[string, string][]} pairs */
const figures = (pairs) =>
  h(
    "dl",
    { class: "figures" },
    pairs.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
  );

/** @param {string} title @param {Attributes | undefined} values */
const attributes = (title, values) => Object.keys(values ?? {}).length > 0 && section(title, table(values));

/** @param {Attributes | undefined} values */
function table(values) {
  const entries = Object.entries(values ?? {});
  if (entries.length === 0) return null;
  return h(
    "dl",
    { class: "attributes" },
    entries.slice(0, 500).map(([name, value]) => {
      const text =
        typeof value === "string"
          ? value
          : typeof value === "number" && Number.isInteger(value) && Math.abs(value) >= 1e5
            ? count(value)
            : JSON.stringify(value);
      const isLong = text.length > MAX_TEXT;
      return h(
        "div",
        null,
        h("dt", null, name),
        h(
          "dd",
          null,
          h(
            "span",
            null,
            isLong ? `${text.slice(0, MAX_TEXT)}…` : text,
            isLong && h("span", { class: "quiet" }, ` (${count(text.length)} characters: copy it for all of them)`),
          ),
          copyButton(() => (typeof value === "string" ? value : JSON.stringify(value)), `Copy ${name}`),
        ),
      );
    }),
  );
}
