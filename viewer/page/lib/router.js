// What is shown is in the fragment of the URL, so that every view is a link: `#/trace/ID?span=…`.

/** @typedef {{ view: string, id: string | null, params: URLSearchParams }} Route */

/**
 * @param {string} hash
 * @returns {Route}
 */
function parseRoute(hash) {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [view, id] = path.split("/", 2);
  /** @type {string | null} */
  let decoded = id ?? null;
  try {
    decoded = id === undefined ? null : decodeURIComponent(id);
  } catch {
    // A half-written escape stays as it is: the server says that there is no such trace.
  }
  return { view: view || "traces", id: decoded, params: new URLSearchParams(query) };
}

/**
 * @param {string} view
 * @param {string | null} [id]
 * @param {URLSearchParams | { [name: string]: string | number | null | undefined }} [params] Empty ones are left out.
 * @returns {string}
 */
export function href(view, id, params) {
  const query = new URLSearchParams();
  const entries = params instanceof URLSearchParams ? params.entries() : Object.entries(params ?? {});
  for (const [name, value] of entries) if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  const text = query.toString();
  return `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}${text ? `?${text}` : ""}`;
}

/** The route of the URL, with every change of its parameters. */
export function route() {
  writeParams();
  return parseRoute(location.hash);
}

/** The URL of what is shown, to be shared. */
export function link() {
  writeParams();
  return location.href;
}

/** @param {string} target A link that {@link href} made. */
export function navigate(target) {
  writeParams();
  location.hash = target;
}

/** So many milliseconds are between two changes of the URL: browsers refuse more than 100 in 30 s. */
const BETWEEN = 400;

/** @typedef {{ [name: string]: string | number | null | undefined }} Changes Null or empty removes a parameter. */

/** Not yet in the URL. @type {Changes | null} */
let pending = null;
let timer = 0;

/**
 * Changes the parameters of what is shown without a step in the browser's history. Many changes in a row are written together.
 * @param {Changes} changes
 */
export function replaceParams(changes) {
  pending = { ...pending, ...changes };
  if (timer === 0) writeParams();
}

function writeParams() {
  if (pending === null) return;
  const changes = pending;
  pending = null;
  clearTimeout(timer);
  timer = setTimeout(() => {
    timer = 0;
    writeParams();
  }, BETWEEN);
  const { view, id, params } = parseRoute(location.hash);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") params.delete(name);
    else params.set(name, String(value));
  }
  const target = href(view, id, params);
  if (target !== location.hash) history.replaceState(history.state, "", target);
}

// Before a link is followed or the page is left, the URL is that of what is shown.
addEventListener("click", writeParams, { capture: true });
addEventListener("pagehide", writeParams);
// Another route has parameters of its own.
addEventListener("hashchange", () => (pending = null));
