"""Writes the traces that it receives over OTLP (HTTP and gRPC) into a file: `collector.py FILE`. Prints the two URLs, and ends at SIGTERM.

Encoded protobuf messages one after the other are one message with the fields of all, so the file is a valid request too.
"""

import gzip
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def main(path: str):
    lock = threading.Lock()
    traces = open(path, "wb", buffering=0)

    def keep(request: bytes) -> bytes:
        with lock:
            traces.write(request)
        return b""  # an empty response: everything was accepted

    class Http(BaseHTTPRequestHandler):
        def do_POST(self):
            body = b"".join(self.body())
            if self.headers["content-encoding"] == "gzip":
                body = gzip.decompress(body)
            is_trace = self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
            if is_trace:
                keep(body)
            self.send_response(200 if is_trace else 415)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def body(self):
            """The body in parts. Node sends chunks, each after a line with its length."""
            if self.headers["transfer-encoding"] != "chunked":
                yield self.rfile.read(int(self.headers["content-length"]))
                return
            while length := int(self.rfile.readline(), 16):
                yield self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, *_):
            pass

    class Grpc(grpc.GenericRpcHandler):
        def service(self, call):
            if call.method == EXPORT:
                return grpc.unary_unary_rpc_method_handler(lambda request, _: keep(request))

    http = ThreadingHTTPServer(("127.0.0.1", 0), Http)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    server = grpc.server(ThreadPoolExecutor(4), handlers=[Grpc()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"http://127.0.0.1:{http.server_port}", f"http://127.0.0.1:{port}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.stop(None).wait()
    http.shutdown()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(sys.argv[1])
