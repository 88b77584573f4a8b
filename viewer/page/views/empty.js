// What to do when there is nothing to see yet.

import { h } from "../lib/dom.js";
import { commandLine } from "../lib/feedback.js";
import { href } from "../lib/router.js";

/** @import { Status } from "../lib/api.js" */

/** @param {Status | null} status */
export function noTraces(status) {
  const address = status?.otlp.grpc ?? status?.otlp.http ?? "127.0.0.1:4317";
  const http = status?.otlp.http ?? null;
  return h("section", { class: "empty" },
    h("h2", null, "Waiting for the first trace"),
    h("p", null, "Start any program that speaks OpenTelemetry with this line before it. It appears here as soon as its first span ends."),
    commandLine(`OTEL_EXPORTER_OTLP_ENDPOINT=http://${address}`, "gRPC"),
    http && commandLine(`OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_ENDPOINT=http://${http}`, "HTTP"),
    h("p", { class: "quiet" },
      status?.gateway ? ["Or ", h("a", { href: href("run") }, "run a request"), " through the gateway beside this page. "] : "",
      "Or drop a trace file anywhere on this page: OTLP, Jaeger or Zipkin."));
}
