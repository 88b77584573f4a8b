// `fanout up` and `fanout view` as processes.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../../", import.meta.url));
const BINARY = resolve(process.env["FANOUT"] ?? join(REPOSITORY, "target/debug/fanout"));

if (!existsSync(BINARY)) throw new Error(`there is no ${BINARY}: build it with \`cargo build\`, or set FANOUT to the path of another`);

/** Far above what a slow machine needs. */
const START = 60_000;
const END = 30_000;

/** @typedef {{ url: string, otlpHttp: string, stop: () => Promise<void> }} Viewer */

/**
 * Starts the gateway, its backends and the viewer, on free ports.
 * @param {string[]} [flags]
 * @returns {Promise<Viewer>}
 */
export async function startUp(flags = []) {
  const data = await mkdtemp(join(tmpdir(), "fanout-browser-"));
  const child = start(["up", "--json", "--any-port", "--view-port", "0", "--delay", "100ms", "--data-dir", data, ...flags]);
  const stop = async () => {
    await child.stop();
    await rm(data, { recursive: true, force: true });
  };
  return orStop(stop, async () => {
    const { view } = JSON.parse(await child.firstLine(/^\{.*"view"/));
    return { url: view.url, otlpHttp: view.otlp_http, stop };
  });
}

/**
 * Starts the viewer alone, without a gateway.
 * @param {string[]} [flags]
 * @returns {Promise<Viewer>}
 */
export async function startView(flags = []) {
  const child = start(["view", "--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", ...flags]);
  return orStop(child.stop, async () => ({
    url: await child.firstMatch(/^open (http:\S+)$/),
    otlpHttp: await child.firstMatch(/ ([\d.]+:\d+) \(HTTP\)/),
    stop: child.stop,
  }));
}

/**
 * A process that did not start as it should is ended: as long as it lives, so does this one.
 * @template T
 * @param {() => Promise<void>} stop
 * @param {() => Promise<T>} wait
 */
async function orStop(stop, wait) {
  try {
    return await wait();
  } catch (error) {
    await stop();
    throw error;
  }
}

/** @param {string[]} args */
function start(args) {
  // Where spans go is for `fanout up` to say.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("OTEL_")));
  // It ends with the tests, whichever way they end.
  const child = spawn("setpriv", ["--pdeathsig", "TERM", BINARY, ...args], { stdio: ["ignore", "pipe", "pipe"], env });
  let output = "";
  let errors = "";
  /** @type {Set<() => void>} */
  const waiting = new Set();
  const tell = () => {
    for (const look of waiting) look();
  };
  child.stdout.setEncoding("utf8").on("data", (text) => {
    output += text;
    tell();
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    errors = (errors + text).slice(-20_000);
  });
  let isEnded = false;
  const ended = new Promise((done) => {
    const end = () => {
      isEnded = true;
      tell();
      done(undefined);
    };
    child.once("close", end);
    child.once("error", (error) => {
      errors += error.message;
      end();
    });
  });

  /** @param {RegExp} pattern @returns {Promise<string>} */
  function firstLine(pattern) {
    return new Promise((done, fail) => {
      const timer = setTimeout(
        () => end(() => fail(new Error(`no line matches ${pattern} after ${START} ms:\n${output}${errors}`))),
        START,
      );
      const look = () => {
        const line = output
          .split("\n")
          .slice(0, -1)
          .find((it) => pattern.test(it));
        if (line !== undefined) end(() => done(line));
        else if (isEnded) end(() => fail(new Error(`fanout ${args[0]} has ended:\n${output}${errors}`)));
      };
      /** @param {() => void} then */
      const end = (then) => {
        clearTimeout(timer);
        waiting.delete(look);
        then();
      };
      waiting.add(look);
      look();
    });
  }

  /** The first group of a pattern. @param {RegExp} pattern */
  async function firstMatch(pattern) {
    return /** @type {string} */ (pattern.exec(await firstLine(pattern))?.[1]);
  }

  async function stop() {
    if (isEnded) return;
    child.kill("SIGTERM");
    const killer = setTimeout(() => child.kill("SIGKILL"), END);
    await ended;
    clearTimeout(killer);
  }
  return { firstLine, firstMatch, stop };
}
