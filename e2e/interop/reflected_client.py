"""A gRPC client that knows the contract only by server reflection."""

from pathlib import Path

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

# An upper bound, so that a broken server does not hang the tests.
TIMEOUT = 20.0

USERS = "fanout.user.v1.UserService"
COUNTRIES = "fanout.country.v1.CountryService"
GATEWAY = "fanout.gateway.v1.GatewayService"


def open_channel(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])


def open_secure_channel(
    address: str, certs: Path, client: str | None = None, options=(), token: str | None = None
) -> grpc.Channel:
    """A channel with TLS that trusts the authority of this directory of `fanout certs`. `client` presents a certificate, and
    each call sends the token."""
    own = [(certs / client / file).read_bytes() for file in ("tls.key", "tls.crt")] if client else [None, None]
    credentials = grpc.ssl_channel_credentials((certs / "ca.pem").read_bytes(), *own)
    if token:
        credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
    return grpc.secure_channel(address, credentials, options=[("grpc.enable_http_proxy", 0), *options])


class ReflectedClient:
    """Calls methods by name, on one channel."""

    def __init__(self, channel: grpc.Channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def services(self) -> set[str]:
        return set(self.database.get_services())

    def message(self, name: str):
        """The class of a message type."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def method(self, path: str):
        """The method as a callable, and the class of its request."""
        service, _, name = path.partition("/")
        method = self.pool.FindServiceByName(service).FindMethodByName(name)
        request = message_factory.GetMessageClass(method.input_type)
        reply = message_factory.GetMessageClass(method.output_type)
        kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        return kind(f"/{path}", request.SerializeToString, reply.FromString), request

    def call(self, path: str, timeout: float = TIMEOUT, metadata=(), **fields):
        """Calls the method, and returns the reply, or an iterator of replies for a stream."""
        method, request = self.method(path)
        return method(request(**fields), timeout=timeout, metadata=metadata)

    def start(self, path: str, timeout: float = TIMEOUT, metadata=(), **fields) -> grpc.Future:
        """Starts a call without waiting for its reply."""
        method, request = self.method(path)
        return method.future(request(**fields), timeout=timeout, metadata=metadata)

    def error(self, path: str, timeout: float = TIMEOUT, metadata=(), **fields) -> grpc.RpcError:
        """The error of a call that must fail."""
        try:
            reply = self.call(path, timeout, metadata, **fields)
            if hasattr(reply, "__next__"):
                reply = list(reply)
        except grpc.RpcError as error:
            return error
        raise AssertionError(f"{path} replied: {str(reply)[:500]}")


def own_service(client: ReflectedClient) -> str:
    """The gRPC service that is the process's own, such as fanout.user.v1.UserService."""
    [name] = [name for name in client.services() if name.startswith("fanout.")]
    return name


def raw_error(channel: grpc.Channel, path: str, payload: bytes) -> grpc.RpcError:
    """The error of a call whose message is these bytes."""
    try:
        reply = channel.unary_unary(f"/{path}")(payload, timeout=TIMEOUT)
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"{path} replied: {reply[:500]!r}")


def calls_of(report, *names: str) -> list:
    """The calls of a report with these names."""
    calls = {call.name: call for call in report.calls}
    return [calls[name] for name in names]


def seconds(duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def nanos(duration) -> int:
    return duration.seconds * 1_000_000_000 + duration.nanos
