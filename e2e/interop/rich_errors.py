"""The details of an error, as read by grpcio-status."""

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def details(error: grpc.RpcError) -> dict:
    """The details by type name. A type occurs at most once (google.aip.dev/193)."""
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
    """The fields in its google.rpc.BadRequest."""
    return {violation.field for violation in details(error)["BadRequest"].field_violations}
