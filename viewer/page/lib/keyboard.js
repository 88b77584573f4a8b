// Keys for everything: single letters that work outside of fields, and lists that arrows move through.

/** @typedef {{ keys: string, label: string, group: string, action?: () => void }} Shortcut */

const STORED = "fanout.shortcuts";

/** Whether single keys do something: people who speak to their computer turn them off. */
export function lettersAreOn() {
  try {
    return localStorage.getItem(STORED) !== "off";
  } catch {
    return true;
  }
}

/** @param {boolean} on */
export function setLetters(on) {
  try {
    localStorage.setItem(STORED, on ? "on" : "off");
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

/** @param {EventTarget | null} target */
const isField = (target) =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) &&
  !(target instanceof HTMLInputElement && /^(checkbox|radio|button|file)$/.test(target.type));

/**
 * @param {Shortcut[]} shortcuts
 */
export function installShortcuts(shortcuts) {
  const actions = new Map(shortcuts.flatMap(({ keys, action }) => (action ? [[keys, action]] : [])));
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && isField(event.target)) return /** @type {HTMLElement} */ (event.target).blur();
    const letters = event.key.length === 1;
    if (letters && (isField(event.target) || !lettersAreOn())) return;
    const action = actions.get(event.key);
    if (!action) return;
    if (letters) event.preventDefault();
    action();
  });
}

/**
 * One stop of the Tab key for a list: the arrows move among the elements that match.
 * @param {HTMLElement} container
 * @param {string} selector
 * @param {(element: HTMLElement, key: string) => boolean} [onKey] Other keys; returns whether it did something.
 */
export function rove(container, selector, onKey) {
  const all = () => /** @type {HTMLElement[]} */ ([...container.querySelectorAll(selector)]);

  /** @param {HTMLElement} element */
  function take(element) {
    for (const other of all()) other.tabIndex = other === element ? 0 : -1;
  }
  /** Exactly one can be reached by Tab. */
  function refresh() {
    const elements = all();
    const current =
      elements.find((element) => element === document.activeElement) ?? elements.find((element) => element.tabIndex === 0) ?? elements[0];
    if (current) take(current);
  }
  container.addEventListener("focusin", (event) => {
    const element = /** @type {Element} */ (event.target).closest(selector);
    if (element instanceof HTMLElement) take(element);
  });
  container.addEventListener("keydown", (event) => {
    const element = /** @type {Element} */ (event.target).closest(selector);
    if (!(element instanceof HTMLElement) || event.ctrlKey || event.metaKey || event.altKey) return;
    const elements = all();
    const at = elements.indexOf(element);
    /** @type {{ [key: string]: number }} */
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, j: at + 1, k: at - 1, Home: 0, End: elements.length - 1 };
    const to = moves[event.key];
    if (to === undefined) {
      if (onKey?.(element, event.key)) event.preventDefault();
      return;
    }
    event.preventDefault();
    elements[Math.min(Math.max(to, 0), elements.length - 1)].focus();
  });
  return { refresh };
}
