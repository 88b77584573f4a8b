// Elements without markup: every text goes through a text node, so that no attribute value of a span can become HTML.

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {string | number | Node | null | undefined | false | Child[]} Child */

/**
 * @typedef {{
 *   class?: string,
 *   on?: { [event: string]: (event: any) => void },
 *   css?: { [property: string]: string },
 *   [attribute: string]: unknown
 * }} Props Attributes; `on` are listeners, `css` properties set through the object model, which a strict policy allows.
 */

/**
 * Creates an HTML element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props | null} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  setProps(element, props ?? {});
  append(element, children);
  return element;
}

/**
 * Creates an SVG element.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Props | null} [props]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function s(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  setProps(element, props ?? {});
  append(element, children);
  return element;
}

/**
 * Replaces everything inside of an element.
 * @param {Element} parent
 * @param {...Child} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren();
  append(parent, children);
}

/**
 * Replaces everything inside of an element with the same in a newer state. What the reader did stays: focus, where it is scrolled to, and
 * which details are open. An element's counterpart is the one at the same place among those with its tag.
 * @param {HTMLElement} parent
 * @param {...Child} children
 */
export function refill(parent, ...children) {
  const fresh = /** @type {HTMLElement} */ (parent.cloneNode(false));
  append(fresh, children);
  /** @param {Element} old */
  const counterpart = (old) => fresh.querySelectorAll(old.tagName)[[...parent.querySelectorAll(old.tagName)].indexOf(old)];
  for (const old of parent.querySelectorAll("details[open]")) counterpart(old)?.setAttribute("open", "");
  if (parent.isEqualNode(fresh)) return;
  const focused = parent.contains(document.activeElement) && document.activeElement !== parent ? document.activeElement : null;
  const focusable = focused && counterpart(focused);
  const scrolled = [...parent.querySelectorAll("*")]
    .filter((old) => old.scrollTop > 0)
    .map((old) => ({ top: old.scrollTop, element: counterpart(old) }));
  parent.replaceChildren(...fresh.childNodes);
  for (const { element, top } of scrolled) element?.scrollTo({ top });
  if (focusable instanceof HTMLElement) focusable.focus({ preventScroll: true });
}

/** Text that only a screen reader says.
 * @param {string} text */
export const hidden = (text) => h("span", { class: "sr" }, text);

/**
 * @param {HTMLElement | SVGElement} element
 * @param {Props} props
 */
function setProps(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(/** @type {{[event: string]: EventListener}} */ (value))) {
        element.addEventListener(event, listener);
      }
    } else if (name === "css") {
      for (const [property, text] of Object.entries(/** @type {{[property: string]: string}} */ (value))) {
        element.style.setProperty(property, text);
      }
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

/**
 * @param {Element} parent
 * @param {Child[]} children
 */
function append(parent, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(parent, child);
    else parent.append(typeof child === "number" ? String(child) : child);
  }
}
