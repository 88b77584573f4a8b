// The filters of the list, kept in the URL.

import { api } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { parseDuration, shortName } from "../lib/format.js";
import { onReconnection, onTrace } from "../lib/live.js";
import { createReader } from "../lib/reader.js";
import { replaceParams } from "../lib/router.js";

const NAMES = /** @type {const} */ (["service", "operation", "min_duration", "max_duration", "min_avoidable", "error"]);

/**
 * @param {URLSearchParams} params
 * @param {() => void} changed
 */
export function createFilters(params, changed) {
  const service = h("select", { class: "input", id: "filter-service" });
  const operation = h("select", { class: "input", id: "filter-operation" });
  const min = duration("filter-min", "100ms");
  const max = duration("filter-max", "5s");
  const avoidable = duration("filter-avoidable", "100ms");
  const error = h("input", { type: "checkbox", id: "filter-error" });
  const clearButton = h("button", { type: "button", class: "button quiet", on: { click: clear } }, "Clear");
  const problem = h("p", { class: "field-error", id: "filter-problem", role: "alert" });
  const toggle = h(
    "button",
    {
      type: "button",
      class: "button filter-toggle",
      "aria-expanded": "false",
      "aria-controls": "filters",
      on: { click: () => open(!element.classList.contains("open")) },
    },
    "Filter",
  );
  const element = h(
    "form",
    {
      class: "filters",
      id: "filters",
      role: "search",
      "aria-label": "Filter the traces",
      on: { submit: (event) => event.preventDefault() },
    },
    field("Service", service, "wide"),
    field("Operation", operation, "wide"),
    field("Took at least", min),
    field("at most", max),
    field("Could save at least", avoidable),
    h("label", { class: "check", for: "filter-error" }, error, "With errors"),
    clearButton,
    problem,
  );
  /** @type {{ name: string, operations: string[] }[]} */
  let services = [];

  const inputs = { service, operation, min_duration: min, max_duration: max, min_avoidable: avoidable };

  /** On a phone the filters are behind a button. @param {boolean} isOpen */
  function open(isOpen) {
    element.classList.toggle("open", isOpen);
    toggle.setAttribute("aria-expanded", String(isOpen));
  }

  /** @param {string} id @param {string} placeholder */
  function duration(id, placeholder) {
    return h("input", {
      class: "input short",
      id,
      type: "text",
      inputmode: "text",
      placeholder,
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": "filter-problem",
    });
  }

  /** @param {string} label @param {HTMLElement} input @param {string} [more] */
  function field(label, input, more = "") {
    return h("div", { class: `field ${more}` }, h("label", { for: input.id }, label), input);
  }

  function drawOptions() {
    const names = services.map((it) => it.name);
    options(service, "All services", names, service.value);
    const of = service.value ? services.filter((it) => it.name === service.value) : services;
    options(operation, "All operations", [...new Set(of.flatMap((it) => it.operations))].sort(), operation.value);
  }

  /** @param {HTMLSelectElement} select @param {string} all @param {string[]} values @param {string} chosen */
  function options(select, all, values, chosen) {
    const list = chosen && !values.includes(chosen) ? [chosen, ...values] : values;
    fill(
      select,
      h("option", { value: "" }, all),
      list.map((value) => h("option", { value }, shortName(value))),
    );
    select.value = chosen;
  }

  /** @param {AbortSignal} signal */
  async function readServices(signal) {
    try {
      const answer = await api.services(signal);
      if (signal.aborted) return;
      services = answer.services;
      drawOptions();
    } catch {
      // The list says that the viewer does not answer.
    }
  }

  /** @param {URLSearchParams} now */
  function read(now) {
    for (const [name, input] of Object.entries(inputs)) {
      const value = now.get(name) ?? "";
      if (input instanceof HTMLSelectElement && value && ![...input.options].some((option) => option.value === value)) {
        input.append(h("option", { value }, value));
      }
      input.value = value;
    }
    error.checked = now.get("error") === "true";
    clearButton.hidden = !isActive();
  }

  /** @returns {{ [name: string]: string }} */
  const values = () => ({
    ...Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()])),
    error: error.checked ? "true" : "",
  });

  function isActive() {
    return Object.values(values()).some((value) => value !== "");
  }

  function check() {
    const wrong = [min, max, avoidable].filter((input) => input.value.trim() !== "" && parseDuration(input.value) === null);
    for (const input of [min, max, avoidable]) input.setAttribute("aria-invalid", String(wrong.includes(input)));
    problem.textContent = wrong.length > 0 ? `“${wrong[0].value}” is not a duration: write 100ms, 1.5s or 2m.` : "";
    return wrong.length === 0;
  }

  function apply() {
    if (!check()) return;
    replaceParams(values());
    clearButton.hidden = !isActive();
    changed();
  }

  function clear() {
    read(new URLSearchParams());
    drawOptions();
    apply();
  }

  let timer = 0;
  element.addEventListener("change", () => {
    drawOptions();
    apply();
  });
  element.addEventListener("input", (event) => {
    clearTimeout(timer);
    if (event.target instanceof HTMLInputElement && event.target.type === "text") timer = setTimeout(apply, 400);
  });
  const reader = createReader(readServices, 1000);
  const unsubscribe = [
    onReconnection(reader.now),
    onTrace((trace) => {
      if (!trace.services.every((name) => services.some((it) => it.name === name))) reader.later();
    }),
  ];

  drawOptions();
  read(params);
  open(isActive());
  reader.now();
  return {
    element,
    toggle,
    query: () => new URLSearchParams(Object.entries(values()).filter(([, value]) => value !== "")),
    isActive,
    clear,
    focus() {
      open(true);
      service.focus();
    },
    destroy() {
      for (const stop of unsubscribe) stop();
      reader.stop();
      clearTimeout(timer);
    },
    /** @param {URLSearchParams} now */
    set(now) {
      if (NAMES.every((name) => (now.get(name) ?? "") === values()[name])) return;
      read(now);
      drawOptions();
      changed();
    },
  };
}
