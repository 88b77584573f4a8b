// The viewer's JSON API: its shapes, and the requests.

/** @typedef {"independent" | "dependent" | "unknown"} Certainty */

/**
 * @typedef {{
 *   trace_id: string, root: { service: string, name: string } | null, start: string, start_ms: number, duration: number, spans: number,
 *   errors: number, services: string[], avoidable: number, saved: number, certainty: Certainty, complete: boolean
 * }} TraceSummary
 */

/** @typedef {{ [key: string]: unknown }} Attributes */

/**
 * @typedef {{
 *   span_id: string, parent_span_id: string | null, service: string, name: string, kind: string, start_offset: number, duration: number,
 *   error: boolean, status_message?: string, depth: number, attributes?: Attributes, source?: number | null,
 *   events?: { name: string, offset: number, attributes?: Attributes }[],
 *   links?: { trace_id: string, span_id: string, attributes?: Attributes }[]
 * }} Span
 */

/** @typedef {{ resource: Attributes, scope: { name?: string, version?: string } | null }} Source Where spans come from: many have one. */

/** @typedef {{ span_id: string, start_offset: number, duration: number }} Segment */

/** @typedef {{ calls: string[], took: number, together: number, certainty: Certainty, sentence: string }} Sequence */

/**
 * @typedef {{
 *   span_id: string, calls: string[], wall: number, sum: number, union: number, saved: number, avoidable: number,
 *   overlaps: { start_offset: number, duration: number, calls: number }[], sequences: Sequence[]
 * }} FanOut
 */

/**
 * @typedef {{
 *   trace: TraceSummary, spans: Span[], sources: Source[], critical_path: Segment[], fan_outs: FanOut[], problems: string[], verdict: string[]
 * }} TraceDetail
 */

/** @typedef {{ requests: number, dropped: number }} PassedOn Requests that were handed on, and those that were not. */

/**
 * @typedef {{
 *   version: string, spans: number, traces: number, bytes: number, max_bytes: number,
 *   dropped: { spans: number, traces: number, reasons: { memory: number, trace_too_large: number, invalid: number } },
 *   duplicates: number, refused_requests: number, not_analyzed: number, forwarded: PassedOn | null, saved: PassedOn | null,
 *   received: { spans: number, metrics: number, logs: number }, otlp: { grpc: string, http: string }, gateway: string | null
 * }} Status
 */

/**
 * @typedef {{
 *   service: string, name: string, count: number, wall: { p50: number, p95: number }, avoidable: { p50: number, p95: number },
 *   saved_per_day: number, certainty: Certainty, because: string, findings: string[]
 * }} Operation
 */

/** @typedef {{ url: string, backends: string[], strategies: string[], policies: string[], users: string[] }} Gateway */

/**
 * @typedef {{
 *   user: string, strategy?: string, policy: string, deadline: string | null, callers: number,
 *   backends: { [name: string]: { delay?: string, error_rate?: number } }
 * }} RunRequest
 */

/**
 * @typedef {{
 *   name: string, method: string, start_offset: number, duration: number, state: string, message?: string | null, critical: boolean,
 *   chain?: unknown
 * }} RunCall
 */

/**
 * @typedef {{
 *   trace_id: string | null, strategy: string, ok: boolean, code: string, message: string, wall: number, total: number, saved: number,
 *   avoidable: number, calls: RunCall[]
 * }} Run
 */

/** @typedef {{ [tool: string]: string }} Commands */

/** @typedef {{ runs: Run[], elapsed: number, commands: Commands }} RunResult */

/** @typedef {{ results: Run[], elapsed?: number, commands?: Commands }} CompareResult */

/**
 * @typedef {{
 *   claim: string, expected: { text: string, duration: number }, measured: { text: string, duration: number }, holds: boolean, runs: Run[],
 *   commands: Commands
 * }} Answer
 */

/** @typedef {{ format: string, traces: TraceDetail[], problems: string[] }} Analyzed */

/** An answer of the server that is an error; `field` is what in the request was wrong. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status @param {string | null} field */
  constructor(message, status, field) {
    super(message);
    this.status = status;
    this.field = field;
  }
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<any>}
 */
async function request(path, init) {
  let response;
  try {
    response = await fetch(path, { ...init, headers: { accept: "application/json", ...init?.headers } });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The viewer does not answer. Is it still running?", 0, null);
  }
  const text = await response.text();
  /** @type {any} */
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    if (response.ok) throw new ApiError("The viewer's answer is not JSON.", response.status, null);
  }
  if (!response.ok) {
    const error = body?.error;
    throw new ApiError(
      error?.message ?? `The viewer answered ${response.status} ${response.statusText}.`,
      response.status,
      error?.field ?? null,
    );
  }
  return body;
}

/** @param {string} path @param {unknown} body @param {AbortSignal} [signal] */
const post = (path, body, signal) =>
  request(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" }, signal: signal ?? null });

export const api = {
  /** @returns {Promise<Status>} */
  status: () => request("/api/status"),
  /** @param {AbortSignal} signal @returns {Promise<{ services: { name: string, operations: string[] }[] }>} */
  services: (signal) => request("/api/services", { signal }),
  /** @param {URLSearchParams} query @param {AbortSignal} [signal]
   * @returns {Promise<{ traces: TraceSummary[], next: string | null }>} */
  traces: (query, signal) => request(`/api/traces?${query}`, { signal: signal ?? null }),
  /** @param {string} id @param {AbortSignal} [signal]
   * @returns {Promise<TraceDetail>} */
  trace: (id, signal) => request(`/api/traces/${encodeURIComponent(id)}`, { signal: signal ?? null }),
  /** @param {string} id */
  downloadUrl: (id) => `/api/traces/${encodeURIComponent(id)}/otlp`,
  /** @param {AbortSignal} signal @returns {Promise<{ operations: Operation[] }>} */
  operations: (signal) => request("/api/operations", { signal }),
  /** @returns {Promise<Gateway>} */
  gateway: () => request("/api/gateway"),
  /** @param {RunRequest} body @returns {Promise<RunResult>} */
  run: (body) => post("/api/run", body),
  /** @param {RunRequest} body @returns {Promise<CompareResult>} */
  compare: (body) => post("/api/compare", body),
  /** @param {number} number @returns {Promise<Answer>} */
  question: (number) => post(`/api/questions/${number}`, {}),
  /** @param {Blob} file @returns {Promise<Analyzed>} */
  analyze: (file) => request("/api/analyze", { method: "POST", body: file, headers: { "content-type": "application/octet-stream" } }),
};
