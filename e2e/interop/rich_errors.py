"""The details of an error, as gRPC's own package reads them."""

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def details(error: grpc.RpcError) -> dict:
    """The details by the names of their types. A type comes once at most (google.aip.dev/193)."""
    status = rpc_status.from_call(error)
    assert status, f"no details in {error}"
    assert status.code == error.code().value[0]
    found = {}
    for detail in status.details:
        name = detail.type_url.rpartition(".")[2]
        message = getattr(error_details_pb2, name)()
        assert detail.Unpack(message)
        assert name not in found
        found[name] = message
    return found


def violations(error: grpc.RpcError) -> set[str]:
    """The fields that its google.rpc.BadRequest names."""
    return {violation.field for violation in details(error)["BadRequest"].field_violations}
