// Serves the page's files as they are on disk, and the API of a viewer that runs, to work on the page without building anything:
// node e2e/browser/dev.js [VIEWER] [PORT], with VIEWER such as http://127.0.0.1:8080.

import { readFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const PAGE = fileURLToPath(new URL("../../viewer/page/", import.meta.url));
/** @type {{ [extension: string]: string }} */
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const [viewer = "http://127.0.0.1:8080", port = "8090"] = process.argv.slice(2);

createServer(async (asked, response) => {
  const { pathname } = new URL(asked.url ?? "/", "http://localhost");
  if (pathname.startsWith("/api/")) {
    // The viewer answers its own page only.
    const headers = { ...asked.headers, host: new URL(viewer).host, ...(asked.headers.origin ? { origin: viewer } : {}) };
    const passed = request(new URL(asked.url ?? "/", viewer), { method: asked.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", (error) =>
      response
        .writeHead(502, { "content-type": "application/json" })
        .end(JSON.stringify({ error: { message: String(error), field: null } })),
    );
    response.on("close", () => passed.destroy());
    asked.pipe(passed);
    return;
  }
  const path = normalize(pathname === "/" ? "/index.html" : pathname);
  try {
    const bytes = await readFile(join(PAGE, path));
    response
      .writeHead(200, {
        "content-type": `${TYPES[extname(path)] ?? "text/plain"}; charset=utf-8`,
        "content-security-policy": POLICY,
        "cache-control": "no-store",
      })
      .end(bytes);
  } catch {
    response.writeHead(404).end(`there is nothing at ${path}\n`);
  }
}).listen(Number(port), "127.0.0.1", () => console.log(`open http://127.0.0.1:${port}, with the API of ${viewer}`));
