// What a request through the gateway is: kept in the URL, so that an experiment can be shared.

import { h } from "../lib/dom.js";
import { replaceParams } from "../lib/router.js";
import { STRATEGIES } from "./runs-figure.js";

/** @import { Gateway, RunRequest } from "../lib/api.js" */

/** @type {{ [policy: string]: string }} */
const POLICIES = { fail_fast: "Stop at the first failure", best_effort: "Keep what succeeded" };

/** A setting that cannot be sent; `field` is what the viewer would call it. */
export class FormError extends Error {
  /** @param {string} message @param {string} field */
  constructor(message, field) {
    super(message);
    this.field = field;
  }
}

/**
 * @param {Gateway} gateway
 * @param {URLSearchParams} params
 */
export function createRunForm(gateway, params) {
  const user = h("input", {
    class: "input",
    id: "run-user",
    list: "run-users",
    value: params.get("user") ?? gateway.users[0] ?? "",
    autocomplete: "off",
    spellcheck: "false",
  });
  const callers = h("input", {
    class: "input short",
    id: "run-callers",
    type: "number",
    min: 1,
    max: 100,
    step: 1,
    value: params.get("callers") ?? "1",
  });
  const deadline = h("input", {
    class: "input short",
    id: "run-deadline",
    value: params.get("deadline") ?? "",
    placeholder: "none",
    autocomplete: "off",
    spellcheck: "false",
  });
  const strategy = choice("strategy", "Strategy", gateway.strategies, STRATEGIES, params.get("strategy") ?? "concurrent");
  const policy = choice(
    "policy",
    "If a call fails",
    gateway.policies,
    POLICIES,
    params.get("policy") ?? gateway.policies[0] ?? "fail_fast",
  );
  const backends = gateway.backends.map((name) => ({
    name,
    delay: h("input", {
      class: "input short",
      id: `run-delay-${name}`,
      value: params.get(`delay.${name}`) ?? "1s",
      placeholder: "its own",
      autocomplete: "off",
      spellcheck: "false",
    }),
    fault: h("input", {
      class: "input short",
      id: `run-fault-${name}`,
      type: "number",
      min: 0,
      max: 100,
      step: 1,
      value: params.get(`fault.${name}`) ?? "0",
    }),
  }));

  const element = h(
    "div",
    { class: "run-form" },
    h(
      "datalist",
      { id: "run-users" },
      gateway.users.map((name) => h("option", { value: name })),
    ),
    strategy.element,
    policy.element,
    h(
      "fieldset",
      { class: "backends" },
      h("legend", null, "Backends"),
      backends.map(({ name, delay, fault }) =>
        h(
          "div",
          { class: "backend", role: "group", "aria-label": name },
          h("span", { class: "backend-name" }, name),
          field("Takes", delay),
          field("Fails (%)", fault),
        ),
      ),
    ),
    h("div", { class: "fields" }, field("User", user), field("Callers at once", callers), field("Deadline", deadline)),
  );

  /** @param {string} label @param {HTMLInputElement} input */
  function field(label, input) {
    return h("div", { class: "field" }, h("label", { for: input.id }, label), input);
  }

  /** The viewer checks everything; a number that is none could not even be sent.
   * @param {HTMLInputElement} input @param {string} name @param {string} id @param {number} min @param {number} max */
  function numberOf(input, name, id, min, max) {
    const value = Number(input.value);
    if (input.value.trim() === "" || !(value >= min && value <= max)) {
      throw new FormError(`${name}: expected a number from ${min} to ${max}.`, id);
    }
    return value;
  }

  const inputs = [user, callers, deadline, ...backends.flatMap(({ delay, fault }) => [delay, fault])];
  element.addEventListener("input", () => {
    for (const input of inputs) input.removeAttribute("aria-invalid");
    replaceParams({
      user: user.value.trim(),
      callers: callers.value === "1" ? null : callers.value,
      deadline: deadline.value.trim(),
      strategy: strategy.value(),
      policy: policy.value(),
      ...Object.fromEntries(
        backends.flatMap(({ name, delay, fault }) => [
          [`delay.${name}`, delay.value.trim()],
          [`fault.${name}`, fault.value === "0" ? null : fault.value],
        ]),
      ),
    });
  });

  return {
    element,
    focus: () => strategy.focus(),
    /** Shows where a setting is wrong. @param {string} field @param {string} message Names the backend, if it is one's. */
    reject(field, message) {
      const backend = backends.find(({ name }) => new RegExp(`\\b${name}\\b`).test(message));
      const id = field !== "backends" ? field : `${/delay/.test(message) ? "delay" : "fault"}-${backend?.name}`;
      const input = inputs.find((it) => it.id === `run-${id}`);
      input?.setAttribute("aria-invalid", "true");
      input?.focus();
    },
    /** @returns {RunRequest} @throws {FormError} */
    read() {
      return {
        user: user.value.trim(),
        strategy: strategy.value(),
        policy: policy.value(),
        deadline: deadline.value.trim() || null,
        callers: Math.round(numberOf(callers, "Callers at once", "callers", 1, 100)),
        backends: Object.fromEntries(
          backends.map(({ name, delay, fault }) => [
            name,
            { delay: delay.value.trim(), error_rate: numberOf(fault, `Faults of ${name}`, `fault-${name}`, 0, 100) / 100 },
          ]),
        ),
      };
    },
  };
}

/**
 * @param {string} name
 * @param {string} legend
 * @param {string[]} values
 * @param {{ [value: string]: string }} words
 * @param {string} chosen
 */
function choice(name, legend, values, words, chosen) {
  const inputs = values.map((value) =>
    h("input", { type: "radio", name: `run-${name}`, id: `run-${name}-${value}`, value, checked: value === chosen }),
  );
  if (!inputs.some((input) => input.checked) && inputs[0]) inputs[0].checked = true;
  const element = h(
    "fieldset",
    { class: "choice" },
    h("legend", null, legend),
    h(
      "div",
      { class: "segments" },
      inputs.map((input) =>
        h(
          "label",
          { for: input.id },
          input,
          h("span", null, h("strong", null, input.value.replace("_", " ")), h("small", null, words[input.value] ?? "")),
        ),
      ),
    ),
  );
  return {
    element,
    value: () => inputs.find((input) => input.checked)?.value ?? "",
    focus: () => inputs.find((input) => input.checked)?.focus(),
  };
}
