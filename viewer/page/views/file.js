// A file that was dropped or picked: analysed by the viewer, kept nowhere.

import { api } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { announce, errorBox } from "../lib/feedback.js";
import { counted, duration, shortName } from "../lib/format.js";
import { href, navigate, replaceParams, route } from "../lib/router.js";
import { createTracePage } from "./trace-page.js";

/** @import { Analyzed } from "../lib/api.js" */
/** @import { View } from "../app.js" */

/** @type {{ name: string, result: Analyzed } | { name: string, error: unknown } | null} */
let opened = null;
/** @type {(() => void) | null} */
let redraw = null;
/** The file that was asked for last: the answer to another one comes too late. @type {File | null} */
let wanted = null;

/** @param {File} file */
async function openFile(file) {
  wanted = file;
  announce(`Analysing ${file.name}.`);
  /** @type {typeof opened} */
  let answer;
  try {
    answer = { name: file.name, result: await api.analyze(file) };
  } catch (error) {
    answer = { name: file.name, error };
  }
  if (wanted !== file) return;
  opened = answer;
  announce("result" in answer ? `${counted(answer.result.traces.length, "trace")} in ${file.name}.` : `${file.name} cannot be analysed.`);
  if (route().view === "file") {
    replaceParams({ trace: null, span: null, fold: null, from: null, to: null });
    redraw?.();
  } else {
    navigate(href("file"));
  }
}

/** Opens the browser's dialog. */
export function pickFile() {
  const input = h("input", { type: "file", accept: ".json,.pb,.bin,.jsonl,.gz,application/json" });
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (file) openFile(file);
  });
  input.click();
}

/** A file can be dropped anywhere. */
export function installDrop() {
  const veil = h("div", { class: "veil", hidden: true }, h("p", null, "Drop the file to see its traces"));
  document.body.append(veil);
  let depth = 0;
  /** @param {DragEvent} event */
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragenter", (event) => {
    if (hasFiles(event)) {
      depth += 1;
      veil.hidden = false;
    }
  });
  addEventListener("dragleave", (event) => {
    if (hasFiles(event) && (depth -= 1) <= 0) {
      depth = 0;
      veil.hidden = true;
    }
  });
  addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    depth = 0;
    veil.hidden = true;
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    openFile(file);
  });
}

/**
 * @param {HTMLElement} main
 * @returns {View}
 */
export function fileView(main) {
  /** @type {ReturnType<typeof createTracePage> | null} */
  let page = null;

  function draw() {
    page?.destroy();
    page = null;
    if (opened === null || "error" in opened) return drawNone();
    const { name, result } = opened;
    const at = Math.min(Math.max(Number(route().params.get("trace") ?? 0) || 0, 0), result.traces.length - 1);
    const detail = result.traces[at];
    if (!detail) {
      return fill(
        main,
        h(
          "div",
          { class: "page" },
          h("h1", { tabindex: -1 }, name),
          h(
            "section",
            { class: "empty" },
            h("h2", null, "No trace in this file"),
            h(
              "ul",
              null,
              result.problems.map((problem) => h("li", null, problem)),
            ),
          ),
        ),
      );
    }
    page = createTracePage(detail, route().params, { stored: false });
    const select = h(
      "select",
      {
        class: "input",
        id: "file-trace",
        on: {
          change: () => {
            replaceParams({ trace: select.value, span: null, fold: null, from: null, to: null });
            draw();
          },
        },
      },
      result.traces.map((it, i) =>
        h("option", { value: i }, `${shortName(it.trace.root?.name || "no root")}  ${duration(it.trace.duration)}`),
      ),
    );
    select.value = String(at);
    fill(
      main,
      h(
        "div",
        { class: "file-bar" },
        h(
          "p",
          null,
          h("strong", null, name),
          h("span", { class: "quiet" }, ` · ${result.format} · ${counted(result.traces.length, "trace")} · kept nowhere`),
        ),
        result.traces.length > 1 && h("div", { class: "field" }, h("label", { for: "file-trace" }, "Trace"), select),
        h("button", { type: "button", class: "button quiet", on: { click: pickFile } }, "Open another file"),
        result.problems.length > 0 &&
          h(
            "details",
            { class: "more" },
            h("summary", null, counted(result.problems.length, "problem")),
            h(
              "ul",
              null,
              result.problems.slice(0, 200).map((problem) => h("li", null, problem)),
            ),
          ),
      ),
      page.element,
    );
  }

  function drawNone() {
    const failed = opened !== null && "error" in opened ? opened : null;
    fill(
      main,
      h(
        "div",
        { class: "page" },
        h("h1", { tabindex: -1 }, failed ? failed.name : "Open a file"),
        failed && errorBox(failed.error),
        h(
          "section",
          { class: "empty" },
          h("h2", null, "Drop a trace file here"),
          h(
            "p",
            null,
            "OTLP (JSON or protobuf), Jaeger or Zipkin JSON. It is analysed on this computer and kept nowhere, ",
            "so that a link to it cannot be shared: share the file.",
          ),
          h("button", { type: "button", class: "button primary", on: { click: pickFile } }, "Pick a file"),
        ),
      ),
    );
  }

  redraw = draw;
  draw();
  return {
    title: opened?.name ?? "Open a file",
    key: "file",
    escape: () => page?.escape() ?? false,
    find: () => page?.find(),
    destroy() {
      redraw = null;
      page?.destroy();
    },
  };
}
