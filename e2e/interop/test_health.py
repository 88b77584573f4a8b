"""grpc.health.v1, called by grpcio-health-checking."""

import grpc
import pytest
from fanout_up import services
from grpc_health.v1 import health_pb2, health_pb2_grpc
from reflected_client import open_channel, own_service

SERVING = health_pb2.HealthCheckResponse.SERVING
PROCESSES = pytest.mark.parametrize("process", services())


@pytest.fixture
def health(up):
    channels = []

    def stub(service):
        channels.append(open_channel(up.address(service)))
        return health_pb2_grpc.HealthStub(channels[-1])

    yield stub
    for channel in channels:
        channel.close()


def ask(service):
    return health_pb2.HealthCheckRequest(service=service)


@PROCESSES
def test_the_process_and_its_service_are_serving(health, client_of, process):
    stub, service = health(process), own_service(client_of(process))
    assert stub.Check(ask(""), timeout=10).status == SERVING
    assert stub.Check(ask(service), timeout=10).status == SERVING


@PROCESSES
def test_a_watch_starts_with_the_current_status(health, client_of, process):
    watch = health(process).Watch(ask(own_service(client_of(process))), timeout=10)
    assert next(watch).status == SERVING
    watch.cancel()


@PROCESSES
def test_an_unknown_service_is_not_found(health, process):
    with pytest.raises(grpc.RpcError) as error:
        health(process).Check(ask("fanout.nobody.v1.NoService"), timeout=10)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
