// Numbers and times as text, and durations back. Durations are nanoseconds everywhere.

export const MS = 1e6;
const SECOND = 1e9;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const NBSP = "\u00a0";

const COUNT = new Intl.NumberFormat("en");
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });
const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });

/**
 * Three significant digits at most, and the unit that suits: `6.00 s`, `864 µs`, `2 min 05 s`.
 * @param {number} ns
 * @returns {string}
 */
export function duration(ns) {
  if (ns < 0) return `−${duration(-ns)}`;
  if (ns === 0) return `0${NBSP}s`;
  if (ns >= HOUR - 0.5 * MINUTE) return two(ns, HOUR, "h", MINUTE, "min");
  if (ns >= MINUTE - 0.5 * SECOND) return two(ns, MINUTE, "min", SECOND, "s");
  for (const [unit, name] of /** @type {const} */ ([
    [SECOND, "s"],
    [MS, "ms"],
    [1e3, "µs"],
  ])) {
    // What rounds up to 1000 of the smaller unit is written in the larger one.
    if (ns >= unit * 0.9995) return `${digits(ns / unit)}${NBSP}${name}`;
  }
  return `${Math.round(ns)}${NBSP}ns`;
}

/** @param {number} value */
function digits(value) {
  return value >= 99.95 ? String(Math.round(value)) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

/** @param {number} ns @param {number} large @param {string} largeName @param {number} small @param {string} smallName */
function two(ns, large, largeName, small, smallName) {
  const all = Math.round(ns / small);
  const ratio = large / small;
  return `${COUNT.format(Math.floor(all / ratio))}${NBSP}${largeName} ${String(all % ratio).padStart(2, "0")}${NBSP}${smallName}`;
}

/**
 * A point on an axis, without needless zeros: `0`, `500 ms`, `1.5 s`.
 * @param {number} ns
 * @param {number} step The distance of two ticks: all ticks get its unit.
 */
export function tick(ns, step) {
  if (Math.abs(ns) < step / 1e6) return "0";
  const [unit, name] = step >= 0.1 * SECOND ? [SECOND, "s"] : step >= 0.1 * MS ? [MS, "ms"] : step >= 100 ? [1e3, "µs"] : [1, "ns"];
  return `${COUNT.format(Number((ns / unit).toFixed(6)))}${NBSP}${name}`;
}

const UNITS = { ns: 1, us: 1e3, µs: 1e3, ms: MS, s: SECOND, m: MINUTE, min: MINUTE, h: HOUR };

/**
 * Reads `100ms`, `1.5 s`, `2m`; null if it is none.
 * @param {string} text
 * @returns {number | null}
 */
export function parseDuration(text) {
  const found = /^\s*(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|min|h)\s*$/.exec(text);
  if (!found) return null;
  return Number(found[1]) * UNITS[/** @type {keyof typeof UNITS} */ (found[2])];
}

/** @param {number} n */
export const count = (n) => COUNT.format(n);

/** @param {number} n @param {string} one @param {string} [many] */
export const counted = (n, one, many = `${one}s`) => `${COUNT.format(n)}${NBSP}${n === 1 ? one : many}`;

/** @param {number} n */
export function bytes(n) {
  return n >= 1 << 30
    ? `${(n / 2 ** 30).toFixed(1)}${NBSP}GiB`
    : n >= 1 << 20
      ? `${(n / 2 ** 20).toFixed(n < 10 << 20 ? 1 : 0)}${NBSP}MiB`
      : `${Math.ceil(n / 1024)}${NBSP}KiB`;
}

/** @param {number} part @param {number} whole */
export const percent = (part, whole) => `${whole > 0 ? Math.round((part / whole) * 100) : 0}${NBSP}%`;

/** @param {number} ms Since 1970. */
export const clock = (ms) => CLOCK.format(ms);

/** @param {number} ms Since 1970. */
export const date = (ms) => DATE.format(ms);

/** @param {number} ms Since 1970. */
export const isToday = (ms) => DATE.format(ms) === DATE.format(Date.now());

/**
 * A method of gRPC without its package: `fanout.gateway.v1.GatewayService/GetProfile` is `GatewayService/GetProfile`. Other names stay.
 * @param {string} name
 */
export const shortName = (name) => name.replace(/^(?:[a-z_][a-z0-9_]*\.)+(?=[A-Z]\w*\/\w+$)/, "");

/** The same for every method in a sentence. @param {string} sentence */
export const withShortNames = (sentence) => sentence.replace(/(?<![\w.])(?:[a-z_][a-z0-9_]*\.)+(?=[A-Z]\w*\/\w)/g, "");
