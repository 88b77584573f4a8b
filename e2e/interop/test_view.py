"""`fanout view` receives what OpenTelemetry's own exporters for Python send, and says nothing that makes them complain."""

import logging
import urllib.request

import pytest
from fanout_view import View
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


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
    assert checkout["attributes"] == {"items": [1, 2]}
    assert trace["sources"][checkout["source"]]["scope"]["name"] == "test"
    assert [event["name"] for event in price["events"]] == ["cached", "exception"]
    assert view.get("/api/status")["refused_requests"] == 0


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_metrics_and_logs_of_a_stock_program_are_taken_and_leave_it_quiet(view, protocol, caplog):
    resource = Resource.create({"service.name": "shop"})
    if protocol == "grpc":
        to = {"endpoint": f"http://{view.grpc}", "insecure": True}
        metric_exporter, log_exporter = GrpcMetricExporter(**to), GrpcLogExporter(**to)
    else:
        metric_exporter = HttpMetricExporter(endpoint=f"http://{view.http}/v1/metrics")
        log_exporter = HttpLogExporter(endpoint=f"http://{view.http}/v1/logs")
    meters = MeterProvider(resource=resource, metric_readers=[PeriodicExportingMetricReader(metric_exporter)])
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    with caplog.at_level(logging.WARNING):
        meters.get_meter("test").create_counter("orders").add(3, {"country": "GB"})
        record = LogRecord(timestamp=1, severity_number=SeverityNumber.INFO, body="checked out")
        loggers.get_logger("test").emit(record)
        meters.shutdown()
        loggers.shutdown()
    assert not caplog.records, caplog.text

    status = view.get("/api/status")
    assert (status["received"], status["refused_requests"]) == ({"spans": 0, "metrics": 1, "logs": 1}, 0)


def test_spans_that_an_exporter_sends_again_are_shown_once_and_counted(view):
    finished = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(finished))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("checkout") as root:
        for item in range(2):
            with tracer.start_as_current_span(f"price {item}"):
                pass
    price, *others = finished.get_finished_spans()
    # An exporter whose request has no answer sends all of it again, perhaps with spans that have ended meanwhile.
    for spans in [[price], [price, *others], [price, *others]]:
        body = encode_spans(spans).SerializeToString()
        headers = {"content-type": "application/x-protobuf"}
        urllib.request.urlopen(urllib.request.Request(f"http://{view.http}/v1/traces", body, headers), timeout=10).close()

    trace = view.get(f"/api/traces/{root.get_span_context().trace_id:032x}")
    assert [span["name"] for span in trace["spans"]] == ["checkout", "price 0", "price 1"]
    assert trace["trace"]["spans"] == 3 and not trace["problems"]
    status = view.get("/api/status")
    assert (status["duplicates"], status["spans"], status["dropped"]["spans"]) == (4, 3, 0)
