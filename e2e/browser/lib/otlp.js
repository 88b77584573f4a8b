// Made-up traces as OTLP JSON.

const MS = 1_000_000n;
let ids = 0n;

/** @param {number} digits */
const newId = (digits) => ((ids += 1n) + (BigInt(Date.now()) << 20n)).toString(16).padStart(digits, "0").slice(-digits);

const KINDS = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 };

/**
 * @typedef {{
 *   service: string, name: string, kind: keyof typeof KINDS, start: number, duration: number, children?: Node[], error?: string,
 *   attributes?: { [name: string]: string | number | boolean }, events?: { name: string, at: number }[]
 * }} Node Times are milliseconds.
 */

/**
 * @param {Node} root
 * @param {number} [startMs] Since 1970.
 * @returns {{ traceId: string, body: string }}
 */
export function traceOf(root, startMs = Date.now() - 10_000) {
  const traceId = newId(32);
  /** @type {Map<string, object[]>} */
  const byService = new Map();
  /** @type {[Node, string][]} */
  const stack = [[root, ""]];
  /** @param {number} ms */
  const at = (ms) => (BigInt(startMs) * MS + BigInt(Math.round(ms * 1e6))).toString();
  while (stack.length > 0) {
    const [node, parentSpanId] = /** @type {[Node, string]} */ (stack.pop());
    const spanId = newId(16);
    const spans = byService.get(node.service) ?? [];
    byService.set(node.service, spans);
    spans.push({
      traceId,
      spanId,
      parentSpanId,
      name: node.name,
      kind: KINDS[node.kind],
      startTimeUnixNano: at(node.start),
      endTimeUnixNano: at(node.start + node.duration),
      attributes: attributesOf(node.attributes ?? {}),
      events: (node.events ?? []).map((event) => ({ name: event.name, timeUnixNano: at(event.at) })),
      status: node.error ? { code: 2, message: node.error } : {},
    });
    for (const child of node.children ?? []) stack.push([child, spanId]);
  }
  const resourceSpans = [...byService].map(([service, spans]) => ({
    resource: { attributes: attributesOf({ "service.name": service }) },
    scopeSpans: [{ scope: { name: "browser-test" }, spans }],
  }));
  return { traceId, body: JSON.stringify({ resourceSpans }) };
}

/** @param {{ [name: string]: string | number | boolean }} values */
function attributesOf(values) {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value:
      typeof value === "string"
        ? { stringValue: value }
        : typeof value === "boolean"
          ? { boolValue: value }
          : Number.isInteger(value)
            ? { intValue: String(value) }
            : { doubleValue: value },
  }));
}

/**
 * The same spans in two bodies: those that match, and the others.
 * @param {string} body
 * @param {(span: { name: string, parentSpanId: string }) => boolean} matches
 * @returns {[string, string]}
 */
export function split(body, matches) {
  const { resourceSpans } = JSON.parse(body);
  /** @param {boolean} wanted */
  const part = (wanted) =>
    JSON.stringify({
      resourceSpans: resourceSpans.map((/** @type {any} */ it) => ({
        ...it,
        scopeSpans: it.scopeSpans.map((/** @type {any} */ scope) => ({
          ...scope,
          spans: scope.spans.filter((/** @type {any} */ span) => matches(span) === wanted),
        })),
      })),
    });
  return [part(true), part(false)];
}

/** @param {string} otlpHttp @param {string} body */
export async function send(otlpHttp, body) {
  const response = await fetch(`http://${otlpHttp}/v1/traces`, { method: "POST", headers: { "content-type": "application/json" }, body });
  if (!response.ok) throw new Error(`OTLP was answered with ${response.status}: ${await response.text()}`);
}

/** A shop whose handler makes three calls in turn, and one twelve times. @returns {Node} */
export function shop() {
  return {
    service: "storefront",
    name: "GET /basket",
    kind: "server",
    start: 0,
    duration: 760,
    attributes: {
      "user_agent.original": '<img src=x onerror="document.title=`owned`">',
      "url.path": "/basket",
      "http.response.status_code": 200,
    },
    children: [
      {
        service: "storefront",
        name: "GET /session",
        kind: "client",
        start: 4,
        duration: 40,
        children: [{ service: "sessions", name: "GET /session", kind: "server", start: 6, duration: 36 }],
      },
      {
        service: "storefront",
        name: "POST /orders",
        kind: "client",
        start: 48,
        duration: 420,
        children: [
          {
            service: "orders",
            name: "POST /orders",
            kind: "server",
            start: 50,
            duration: 415,
            children: Array.from({ length: 12 }, (_, i) => ({
              service: "orders",
              name: "SELECT line_items",
              kind: /** @type {const} */ ("client"),
              start: 60 + i * 31,
              duration: 30,
              attributes: { "db.system.name": "postgresql", "db.query.text": `SELECT * FROM line_items WHERE order_id = ${i}` },
            })),
          },
        ],
      },
      {
        service: "storefront",
        name: "GET /prices",
        kind: "client",
        start: 470,
        duration: 150,
        children: [
          { service: "prices", name: "GET /prices", kind: "server", start: 472, duration: 146, events: [{ name: "cache miss", at: 480 }] },
        ],
      },
      {
        service: "storefront",
        name: "GET /stock",
        kind: "client",
        start: 474,
        duration: 230,
        error: "504",
        children: [{ service: "stock", name: "GET /stock", kind: "server", start: 476, duration: 226, error: "timeout after 220 ms" }],
      },
      { service: "storefront", name: "render", kind: "internal", start: 706, duration: 50 },
    ],
  };
}

/** A trace of so many spans, three levels deep. @param {number} spans @returns {Node} */
export function large(spans) {
  const batches = Math.ceil(Math.sqrt(spans));
  const each = Math.ceil((spans - 1) / batches) - 1;
  return {
    service: "ingest",
    name: "nightly",
    kind: "internal",
    start: 0,
    duration: batches * 10,
    children: Array.from({ length: batches }, (_, i) => ({
      service: "ingest",
      name: `batch ${i}`,
      kind: /** @type {const} */ ("client"),
      start: i * 10,
      duration: 9.5,
      children: Array.from({ length: each }, (_, j) => ({
        service: `worker-${j % 4}`,
        name: `row ${i}.${j}`,
        kind: /** @type {const} */ ("server"),
        start: i * 10 + (j / each) * 9,
        duration: 0.08,
      })),
    })),
  };
}
