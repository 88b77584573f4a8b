// What to do when there is nothing to see yet.

import { h } from "../lib/dom.js";
import { commandLine } from "../lib/feedback.js";
import { href } from "../lib/router.js";

/** @import { Status } from "../lib/api.js" */

/** @param {Status | null} status */
export function noTraces(status) {
  const { http, grpc } = status?.otlp ?? { http: "127.0.0.1:4318", grpc: "127.0.0.1:4317" };
  return h(
    "section",
    { class: "empty" },
    h("h2", null, "Waiting for the first trace"),
    h(
      "p",
      null,
      "Start any program that speaks OpenTelemetry with one of these lines before it. It appears here as soon as its first span ends.",
    ),
    // Which protocol is the default differs: each line names its own.
    commandLine(`OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_ENDPOINT=http://${http}`, "HTTP"),
    commandLine(`OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=http://${grpc}`, "gRPC"),
    h(
      "p",
      { class: "quiet" },
      status?.gateway ? ["Or ", h("a", { href: href("run") }, "run a request"), " through the gateway beside this page. "] : "",
      "Or drop a trace file anywhere on this page: OTLP, Jaeger or Zipkin.",
    ),
  );
}
