// `fanout up` and `fanout view` as processes.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../../", import.meta.url));
const BINARY = resolve(process.env["FANOUT"] ?? join(REPOSITORY, "target/debug/fanout"));

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
  const line = await child.firstLine(/^\{.*"view"/);
  const { view } = JSON.parse(line);
  return {
    url: view.url,
    otlpHttp: view.otlp_http,
    async stop() {
      await child.stop();
      await rm(data, { recursive: true, force: true });
    },
  };
}

/**
 * Starts the viewer alone, without a gateway.
 * @returns {Promise<Viewer>}
 */
export async function startView() {
  const child = start(["view", "--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"]);
  const open = await child.firstLine(/^open http:/);
  const send = await child.firstLine(/\(HTTP\)/);
  const http = /([\d.]+:\d+) \(HTTP\)/.exec(send);
  return { url: open.replace(/^open /, "").trim(), otlpHttp: http?.[1] ?? "", stop: child.stop };
}

/** @param {string[]} args */
function start(args) {
  if (!existsSync(BINARY)) throw new Error(`there is no ${BINARY}: build it with \`cargo build\`, or set FANOUT to the path of another`);
  // Where spans go is for `fanout up` to say.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("OTEL_")));
  const child = spawn(BINARY, args, { stdio: ["ignore", "pipe", "pipe"], env });
  let output = "";
  let errors = "";
  /** @type {Set<() => void>} */
  const waiting = new Set();
  const tell = () => { for (const look of waiting) look(); };
  child.stdout.setEncoding("utf8").on("data", (text) => { output += text; tell(); });
  child.stderr.setEncoding("utf8").on("data", (text) => { errors = (errors + text).slice(-20_000); });
  let isEnded = false;
  const ended = new Promise((done) => child.once("close", () => { isEnded = true; tell(); done(undefined); }));

  /** @param {RegExp} pattern @returns {Promise<string>} */
  function firstLine(pattern) {
    return new Promise((done, fail) => {
      const timer = setTimeout(() => end(() => fail(new Error(`no line matches ${pattern} after ${START} ms:\n${output}${errors}`))), START);
      const look = () => {
        const line = output.split("\n").slice(0, -1).find((it) => pattern.test(it));
        if (line !== undefined) end(() => done(line));
        else if (isEnded) end(() => fail(new Error(`fanout ${args[0]} has ended:\n${output}${errors}`)));
      };
      /** @param {() => void} then */
      const end = (then) => { clearTimeout(timer); waiting.delete(look); then(); };
      waiting.add(look);
      look();
    });
  }

  async function stop() {
    if (isEnded) return;
    child.kill("SIGTERM");
    const killer = setTimeout(() => child.kill("SIGKILL"), END);
    await ended;
    clearTimeout(killer);
  }
  return { firstLine, stop };
}
