"""gRPC's test service on grpcio's server.

Prints "listening PORT", then "begun ID" and "cancelled ID" for streams that carry the metadata
x-call-id. Ends when its standard input closes, so that it cannot outlive its parent.
"""

import os
import pathlib
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).parent.parent / "proto"
SERVICE = "grpc.testing.TestService"


def load_contract():
    """Returns a descriptor pool with the contract.

    The modules that grpcio-tools generates would be called grpc.testing, inside grpcio's own package.
    """
    with tempfile.NamedTemporaryFile() as out:
        args = ["protoc", f"-I{PROTO}", "--include_imports", f"--descriptor_set_out={out.name}"]
        if protoc.main([*args, "grpc/testing/test.proto"]) != 0:
            sys.exit("the contract does not compile")
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


POOL = load_contract()


def message(name):
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"grpc.testing.{name}"))


Empty = message("Empty")
Payload = message("Payload")
SimpleResponse = message("SimpleResponse")
StreamingInputCallResponse = message("StreamingInputCallResponse")
StreamingOutputCallResponse = message("StreamingOutputCallResponse")

INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"
CODES = {code.value[0]: code for code in grpc.StatusCode}


def payload(size):
    return Payload(body=bytes(size))


def echo_metadata(context):
    sent = dict(context.invocation_metadata())
    if INITIAL in sent:
        context.send_initial_metadata(((INITIAL, sent[INITIAL]),))
    if TRAILING in sent:
        context.set_trailing_metadata(((TRAILING, sent[TRAILING]),))


def echo_status(request, context):
    if request.HasField("response_status"):
        status = request.response_status
        context.abort(CODES[status.code], status.message)


def reported(requests, context):
    """Yields the requests. Reports the begin and the cancellation of a call with an id."""
    call = dict(context.invocation_metadata()).get("x-call-id")
    if not call:
        yield from requests
        return
    report("begun", call)
    ended = threading.Event()

    def end():
        report("cancelled", call)
        ended.set()

    # grpcio does not resume a handler whose client cancels before grpcio has sent the handler's reply: only the callback
    # learns of every cancellation.
    if not context.add_callback(end):
        end()
    yield from requests
    # The requests may also just stop before grpcio learns that the client has cancelled, as it does all calls with an id.
    ended.wait()


OUTPUT = threading.Lock()


def report(event, call):
    """Prints a whole line: print writes the end of a line by itself, and another thread's line may come between."""
    with OUTPUT:
        sys.stdout.write(f"{event} {call}\n")
        sys.stdout.flush()


class TestService:
    def EmptyCall(self, request, context):
        return Empty()

    def UnaryCall(self, request, context):
        echo_metadata(context)
        echo_status(request, context)
        return SimpleResponse(payload=payload(request.response_size))

    def StreamingInputCall(self, requests, context):
        total = sum(len(request.payload.body) for request in reported(requests, context))
        return StreamingInputCallResponse(aggregated_payload_size=total)

    def StreamingOutputCall(self, request, context):
        echo_metadata(context)
        yield from self.replies(request, context)

    def FullDuplexCall(self, requests, context):
        echo_metadata(context)
        for request in reported(requests, context):
            yield from self.replies(request, context)

    def replies(self, request, context):
        echo_status(request, context)
        for parameters in request.response_parameters:
            time.sleep(parameters.interval_us / 1e6)
            yield StreamingOutputCallResponse(payload=payload(parameters.size))


def handlers(service):
    """Returns a handler for each method of the contract that the service has."""
    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    found = {}
    for method in POOL.FindServiceByName(SERVICE).methods:
        if hasattr(service, method.name):
            found[method.name] = kinds[method.client_streaming, method.server_streaming](
                getattr(service, method.name),
                request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
                response_serializer=lambda reply: reply.SerializeToString(),
            )
    return grpc.method_handlers_generic_handler(SERVICE, found)


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    server.add_generic_rpc_handlers((handlers(TestService()),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("listening", port, flush=True)
    server.wait_for_termination()


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
main()
