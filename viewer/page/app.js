// The frame around the views: navigation, counts, colour scheme, keys.
//
//   lib/        elements, formats, API, live events, routes, keys
//   waterfall/  a trace as rows on a time axis: model and drawing are pure
//   views/      one file for each thing that is shown

import { api } from "./lib/api.js";
import { fill, h } from "./lib/dom.js";
import { announce, copy, installAnnouncer } from "./lib/feedback.js";
import { counted } from "./lib/format.js";
import { icon } from "./lib/icons.js";
import { installShortcuts } from "./lib/keyboard.js";
import { connect, offerStatus, onConnection, onStatus } from "./lib/live.js";
import { href, link, navigate, route } from "./lib/router.js";
import { createHelp } from "./views/help.js";
import { createSchemeSwitch } from "./views/scheme-switch.js";
import { compareView } from "./views/compare.js";
import { fileView, installDrop, pickFile } from "./views/file.js";
import { operationsView } from "./views/operations.js";
import { runView } from "./views/run.js";
import { traceView } from "./views/trace.js";
import { tracesView } from "./views/traces.js";

/** @import { Route } from "./lib/router.js" */

/**
 * @typedef {{
 *   title: string, key: string, destroy: () => void, update?: (route: Route) => void, escape?: () => boolean, find?: () => void,
 *   compare?: () => void
 * }} View `key` tells whether another route is the same view; `escape` returns whether there was something to close.
 */

/** @type {{ [view: string]: ((main: HTMLElement, route: Route) => View) | undefined }} */
const VIEWS = { traces: tracesView, trace: traceView, operations: operationsView, compare: compareView, run: runView, file: fileView };

/** @type {[string, string, string][]} */
const LINKS = [
  ["traces", "Traces", "t"],
  ["operations", "Operations", "o"],
  ["compare", "Compare", "c"],
  ["run", "Run", "r"],
];

/** @param {Route} now */
function keyOf({ view, id, params }) {
  return view === "trace" ? `trace/${id}` : view === "compare" ? `compare/${params.get("left")}/${params.get("right")}` : view;
}

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const nav = /** @type {HTMLElement} */ (document.getElementById("nav"));
const tools = /** @type {HTMLElement} */ (document.getElementById("tools"));
/** @type {View | null} */
let current = null;

function show() {
  const now = route();
  const open = VIEWS[now.view];
  const isFirst = current === null;
  if (current !== null && open && current.key === keyOf(now)) {
    current.update?.(now);
    return;
  }
  current?.destroy();
  current = null;
  scrollTo(0, 0);
  if (!open) {
    fill(
      main,
      h(
        "div",
        { class: "page" },
        h("h1", { tabindex: -1 }, "There is no such page"),
        h("p", null, h("a", { href: href("traces") }, "All traces")),
      ),
    );
    return;
  }
  current = open(main, now);
  document.title = `${current.title} · fanout`;
  for (const link of nav.querySelectorAll("a")) {
    const isHere = link.dataset["view"] === now.view || (link.dataset["view"] === "traces" && now.view === "trace");
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!isFirst) {
    announce(current.title);
    /** @type {HTMLElement | null} */ (main.querySelector("h1"))?.focus({ preventScroll: true });
  }
}

function drawNav() {
  fill(
    nav,
    LINKS.map(([view, label, key]) =>
      h("a", { href: href(view), "data-view": view, "aria-keyshortcuts": key, title: `${label} (${key})` }, label),
    ),
  );
}

function drawTools() {
  const dot = h("span", { class: "dot", "aria-hidden": "true" });
  const text = h("span", { class: "live-text" });
  const live = h("span", { class: "live" }, dot, text);
  onConnection((state) => {
    live.dataset["state"] = state;
    text.textContent = { connecting: "Connecting", live: "Live", lost: "Not connected" }[state];
  });
  onStatus((status) => {
    const dropped = status.dropped.spans;
    const losses = dropped > 0 ? `${counted(dropped, "span")} dropped` : "none dropped";
    live.title = `${counted(status.received.spans, "span")} received, ${losses}. fanout ${status.version}`;
  });
  const help = h(
    "button",
    {
      type: "button",
      class: "icon-button",
      "aria-label": "Keys and help",
      title: "Keys and help (?)",
      on: { click: () => helpDialog.open() },
    },
    icon("help"),
  );
  fill(
    tools,
    live,
    h(
      "button",
      { type: "button", class: "button quiet open-file", on: { click: pickFile }, title: "Analyse a trace file (f)" },
      icon("open"),
      h("span", null, "Open file"),
    ),
    createSchemeSwitch(),
    help,
  );
}

/** @param {"trace"} view */
const isShown = (view) => route().view === view;

/** @type {import("./lib/keyboard.js").Shortcut[]} */
const shortcuts = [
  ...LINKS.map(([view, label, key]) => ({
    keys: key,
    label,
    group: "Go to",
    action: () => (view === "compare" && current?.compare ? compareOrGo() : navigate(href(view))),
  })),
  { keys: "f", label: "Open a file", group: "Go to", action: pickFile },
  { keys: "/", label: "Filter, or find a span", group: "Anywhere", action: () => current?.find?.() },
  { keys: "l", label: "Copy the link to what is shown", group: "Anywhere", action: () => copy(link()) },
  { keys: "?", label: "Show these keys", group: "Anywhere", action: () => helpDialog.open() },
  {
    keys: "Escape",
    label: "Close; back to all traces",
    group: "Anywhere",
    action: () => {
      if (!(current?.escape?.() ?? false) && isShown("trace")) navigate(href("traces"));
    },
  },
  { keys: "d", label: "Download the trace", group: "In a trace", action: () => document.getElementById("download")?.click() },
  { keys: "↑ ↓ j k", label: "Move through a list", group: "In a list" },
  { keys: "Enter", label: "Open", group: "In a list" },
  { keys: "x", label: "Choose for comparison; c compares two", group: "In a list" },
  { keys: "← →", label: "Collapse, expand, to the parent", group: "In a trace" },
  { keys: "Enter Space", label: "Show and hide a span's details", group: "In a trace" },
  { keys: "+ - 0", label: "Zoom in, out, the whole", group: "In a trace" },
  { keys: "< >", label: "Move left and right", group: "In a trace" },
];

function compareOrGo() {
  if (document.querySelectorAll(".traces .chosen").length === 2) current?.compare?.();
  else navigate(href("compare"));
}

const helpDialog = createHelp(shortcuts);
installAnnouncer();
installDrop();
installShortcuts(shortcuts);
drawNav();
drawTools();
addEventListener("hashchange", show);
// The fragment is the route, so that this link must not change it.
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
show();
connect();
api.status().then(offerStatus, () => {
  // The header says that the viewer is not connected.
});
