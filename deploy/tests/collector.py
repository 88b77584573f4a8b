"""An OTLP receiver that keeps the spans it receives."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self):
        self.spans = []
        self.changed = threading.Condition()
        self.server = grpc.server(ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        # Containers reach this machine by their bridge's address, not by loopback.
        self.port = self.server.add_insecure_port("0.0.0.0:0")
        self.server.start()

    def Export(self, request, context):
        with self.changed:
            for resource in request.resource_spans:
                names = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
                for scope in resource.scope_spans:
                    self.spans += [(names[0], span) for span in scope.spans]
            self.changed.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def trace(self, trace_id, count, timeout=30):
        """Returns the spans of a trace as (service, span) when there are this many."""

        def found():
            return [(service, span) for service, span in self.spans if span.trace_id.hex() == trace_id]

        with self.changed:
            complete = self.changed.wait_for(lambda: len(found()) >= count, timeout)
            assert complete, f"{len(found())} of {count} spans: {[(s, span.name) for s, span in found()]}"
            return found()

    def stop(self):
        self.server.stop(None)
