"""Server reflection, for a client without the contract."""

import grpc
import pytest
from fanout_up import services
from grpc_reflection.v1alpha import reflection_pb2
from reflected_client import GATEWAY, own_service

HEALTH = "grpc.health.v1.Health"
# Each version of reflection lists itself; grpcio's client speaks v1alpha.
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"

@pytest.mark.parametrize("process", services())
def test_lists_only_services_of_the_process(process, client_of):
    assert client_of(process).services() == {own_service(client_of(process)), HEALTH, REFLECTION}


def test_the_methods_are_the_contracts(gateway):
    service = gateway.pool.FindServiceByName(GATEWAY)
    assert [(method.name, method.server_streaming) for method in service.methods] == [
        ("GetProfile", False),
        ("GetHomeCountry", False),
        ("StreamUsers", True),
    ]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_both_versions_of_reflection_answer(gateway, version):
    # Both versions have the same messages on the wire.
    call = gateway.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    [listed] = call(iter([asked]), timeout=10)
    assert GATEWAY in [service.name for service in listed.list_services_response.service]


def test_an_unknown_symbol_is_not_found(gateway):
    # The protocol has a message for it, which grpcio turns into KeyError; tonic ends the stream with the status.
    with pytest.raises((KeyError, grpc.RpcError)) as error:
        gateway.pool.FindServiceByName("no.such.Service")
    assert not isinstance(error.value, grpc.RpcError) or error.value.code() == grpc.StatusCode.NOT_FOUND
    assert gateway.pool.FindServiceByName(GATEWAY), "later requests still succeed"


@pytest.mark.parametrize("detail", ["ErrorInfo", "ResourceInfo", "BadRequest"])
def test_details_of_errors_are_known_too(gateway, detail):
    assert gateway.message(f"google.rpc.{detail}")
