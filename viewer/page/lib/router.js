// What is shown is in the fragment of the URL, so that every view is a link: `#/trace/ID?span=…`.

/** @typedef {{ view: string, id: string | null, params: URLSearchParams }} Route */

/**
 * @param {string} hash
 * @returns {Route}
 */
export function parseRoute(hash) {
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

export const route = () => parseRoute(location.hash);

/** @param {string} target A link that {@link href} made. */
export function navigate(target) {
  location.hash = target;
}

/**
 * Changes the parameters of what is shown without a step in the browser's history.
 * @param {{ [name: string]: string | number | null | undefined }} changes Null or empty removes one.
 */
export function replaceParams(changes) {
  const { view, id, params } = route();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") params.delete(name);
    else params.set(name, String(value));
  }
  const target = href(view, id, params);
  if (target !== location.hash) history.replaceState(history.state, "", target);
}
