// What the viewer tells as it happens: new traces and its counts, by server-sent events.

/** @import { Status, TraceSummary } from "./api.js" */

/** @typedef {"connecting" | "live" | "lost"} Connection */

/** @template T @typedef {(value: T) => void} Listener */

/** @type {Set<Listener<TraceSummary>>} */
const traceListeners = new Set();
/** @type {Set<Listener<Status>>} */
const statusListeners = new Set();
/** @type {Set<Listener<Connection>>} */
const connectionListeners = new Set();

/** @type {Status | null} */
let lastStatus = null;
/** @type {Connection} */
let connection = "connecting";

/** @param {Connection} now */
function setConnection(now) {
  if (now === connection) return;
  connection = now;
  for (const listener of connectionListeners) listener(now);
}

/** @param {Status} status */
function setStatus(status) {
  lastStatus = status;
  for (const listener of statusListeners) listener(status);
}

/** Connects; the browser connects again by itself, and a closed source is opened anew. */
export function connect() {
  const source = new EventSource("/api/events");
  source.addEventListener("open", () => setConnection("live"));
  source.addEventListener("error", () => {
    setConnection("lost");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  });
  source.addEventListener("trace", (event) => {
    const trace = parsed(event);
    if (trace) for (const listener of traceListeners) listener(trace);
  });
  source.addEventListener("status", (event) => {
    const status = parsed(event);
    if (status) setStatus(status);
  });
}

/** @param {MessageEvent} event */
function parsed(event) {
  try {
    return JSON.parse(event.data);
  } catch {
    console.warn("the viewer sent an event that is not JSON");
    return null;
  }
}

/** @param {Status} status Read by a request: an event that came meanwhile is newer. */
export function offerStatus(status) {
  if (lastStatus === null) setStatus(status);
}

/**
 * @template T
 * @param {Set<Listener<T>>} listeners
 * @param {Listener<T>} listener
 * @returns {() => void} Unsubscribes.
 */
function subscribe(listeners, listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** @param {Listener<TraceSummary>} listener */
export const onTrace = (listener) => subscribe(traceListeners, listener);

/** @param {Listener<Status>} listener Called at once if the status is known. */
export function onStatus(listener) {
  if (lastStatus) listener(lastStatus);
  return subscribe(statusListeners, listener);
}

/** @param {Listener<Connection>} listener Called at once. */
export function onConnection(listener) {
  listener(connection);
  return subscribe(connectionListeners, listener);
}

/** @param {() => void} listener Called when the viewer answers again: what happened meanwhile was not told. */
export function onReconnection(listener) {
  let wasLost = false;
  return onConnection((state) => {
    if (state === "live" && wasLost) listener();
    if (state !== "connecting") wasLost = state === "lost";
  });
}
