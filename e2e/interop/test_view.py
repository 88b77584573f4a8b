"""`fanout view` receives what OpenTelemetry's own exporters for Python send, and says nothing that makes them complain."""

import json
import logging
import re
import subprocess
import urllib.request

import child_process
import pytest
from fanout_up import BINARY
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


class View:
    """A running `fanout view` on free ports."""

    def __init__(self):
        free = [f"--{flag}=127.0.0.1:0" for flag in ("listen", "otlp-grpc", "otlp-http")]
        self.process = child_process.start([BINARY, "view", *free], stdout=subprocess.PIPE, text=True)
        self.page = re.fullmatch(r"open (http://\S+)\n", self.process.stdout.readline())[1]
        self.grpc, self.http = re.match(r"send OTLP to (\S+) \(gRPC\) or (\S+) \(HTTP\)", self.process.stdout.readline()).groups()

    def get(self, path):
        with urllib.request.urlopen(self.page + path, timeout=10) as response:
            return json.load(response)

    def stop(self):
        self.process.terminate()
        _, _ = self.process.communicate(timeout=10)
        return self.process.returncode


@pytest.fixture
def view():
    view = View()
    yield view
    assert view.stop() == 0


def exporter(view, protocol):
    if protocol == "grpc":
        return GrpcExporter(endpoint=f"http://{view.grpc}", insecure=True)
    compression = Compression.Gzip if protocol == "http+gzip" else Compression.NoCompression
    return HttpExporter(endpoint=f"http://{view.http}/v1/traces", compression=compression)


@pytest.mark.parametrize("protocol", ["grpc", "http", "http+gzip"])
def test_the_stock_exporter_of_python_is_understood(view, protocol, caplog):
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(exporter(view, protocol)))
    tracer = provider.get_tracer("test", "1.2")
    with caplog.at_level(logging.WARNING):
        with tracer.start_as_current_span("checkout") as root:
            root.set_attribute("items", [1, 2])
            with tracer.start_as_current_span("price") as span:
                span.add_event("cached", {"age": 3})
                span.record_exception(ValueError("no price"))
        provider.shutdown()
    assert not caplog.records, caplog.text

    trace = view.get(f"/api/traces/{root.get_span_context().trace_id:032x}")
    assert trace["trace"]["root"] == {"service": "shop", "name": "checkout"}
    assert trace["trace"]["complete"] and not trace["problems"]
    checkout, price = trace["spans"]
    assert checkout["attributes"] == {"items": [1, 2]} and checkout["scope"]["name"] == "test"
    assert [event["name"] for event in price["events"]] == ["cached", "exception"]
    assert view.get("/api/status")["refused_requests"] == 0
