"""Deadlines, cancelled calls, and messages that cannot be decoded."""

import time

import grpc
import pytest
from reflected_client import COUNTRIES, GATEWAY, USERS, raw_error

ALL = ["STRATEGY_SEQUENTIAL", "STRATEGY_CONCURRENT", "STRATEGY_SPAWNED"]
# The delay of a backend whose call is to be stopped, in seconds.
LONG = 20
MALFORMED = b"\xff\xff\xff\xff"


@pytest.mark.parametrize("strategy", ALL)
def test_a_call_ends_at_its_deadline(gateway, strategy):
    metadata = [("baggage", f"user.delay={LONG}s")]
    begun = time.monotonic()
    error = gateway.error(f"{GATEWAY}/GetProfile", timeout=0.1, metadata=metadata, user_id="ada", strategy=strategy)
    took = time.monotonic() - begun
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert took < 1


@pytest.mark.parametrize("strategy", ALL)
def test_every_hop_reports_the_deadline(gateway, up, trace, strategy):
    metadata = [*trace.metadata, ("baggage", f"user.delay={LONG}s")]
    error = gateway.error(f"{GATEWAY}/GetProfile", timeout=0.5, metadata=metadata, user_id="ada", strategy=strategy)
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    for service in ("gateway", "user-service"):
        line = up.wait_line(service=service, trace_id=trace.id)
        assert line["code"] == "DEADLINE_EXCEEDED", line
        assert line["duration_ms"] < 1500


def test_a_stream_ends_at_its_deadline(gateway):
    metadata = [("baggage", f"user.delay={LONG}s")]
    error = gateway.error(f"{GATEWAY}/StreamUsers", timeout=0.1, metadata=metadata, user_ids=["ada", "alan"])
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("strategy", ["STRATEGY_CONCURRENT", "STRATEGY_SPAWNED"])
@pytest.mark.parametrize(("slow", "quick"), [("user", "country"), ("country", "user")])
def test_a_caller_that_goes_away_stops_the_backend(gateway, up, trace, strategy, slow, quick):
    metadata = [*trace.metadata, ("baggage", f"{slow}.delay={LONG}s")]
    call = gateway.start(f"{GATEWAY}/GetProfile", timeout=2 * LONG, metadata=metadata, user_id="ada", strategy=strategy)
    # Both were called together: when the quick one has replied, the slow one has its call.
    up.wait_line(service=f"{quick}-service", trace_id=trace.id, code="OK")
    call.cancel()
    assert call.code() == grpc.StatusCode.CANCELLED
    for service in (f"{slow}-service", "gateway"):
        line = up.wait_line(service=service, trace_id=trace.id)
        assert line["code"] == "CANCELLED", line
        assert line["message"] == "request cancelled by its caller"
        assert line["duration_ms"] < LONG * 1000 / 2


def test_a_caller_that_leaves_a_stream_stops_the_calls_in_flight(gateway, up, trace):
    metadata = trace.metadata
    call = gateway.call(
        f"{GATEWAY}/StreamUsers", metadata=metadata, user_ids=["ada"] * 50, strategy="STRATEGY_SEQUENTIAL"
    )
    assert next(call).user_id == "ada"
    call.cancel()
    line = up.wait_line(service="gateway", trace_id=trace.id)
    assert line["code"] == "CANCELLED", line
    assert line["duration_ms"] < 10_000


@pytest.mark.parametrize(
    ("service", "path"), [("gateway", f"{GATEWAY}/GetProfile"), ("users", f"{USERS}/CreateUser")], ids=str
)
def test_a_message_of_5_mib_is_refused(service, path, request):
    client = request.getfixturevalue(service)
    message = client.method(path)[1](user_id="a" * (5 << 20))
    error = raw_error(client.channel, path, message.SerializeToString())
    assert error.code() in (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.RESOURCE_EXHAUSTED), error
    assert_still_serves(client, path)


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("gateway", f"{GATEWAY}/GetProfile"),
        ("gateway", f"{GATEWAY}/GetHomeCountry"),
        ("users", f"{USERS}/CreateUser"),
        ("countries", f"{COUNTRIES}/GetCountry"),
    ],
)
def test_bytes_that_are_not_a_message_are_refused(service, path, request):
    client = request.getfixturevalue(service)
    error = raw_error(client.channel, path, MALFORMED)
    assert error.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT), error
    assert_still_serves(client, path)


# Clients such as grpcio accept 8 KiB of metadata; a larger error is lost with its code.
WIDE = "\U0010fffe"


def test_an_error_fits_into_the_reply_however_long_the_id(users):
    for user_id in ("A" * (1 << 20), WIDE * 64):
        error = users.error(f"{USERS}/GetUser", user_id=user_id)
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error.details()
        assert len(error.details()) < 2000


def test_an_error_fits_into_the_reply_however_many_ids_are_wrong(gateway):
    error = gateway.error(f"{GATEWAY}/StreamUsers", user_ids=[WIDE * 64] * 1000)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error.details()


def assert_still_serves(client, path):
    service = path.partition("/")[0]
    call = {
        GATEWAY: lambda: client.call(f"{GATEWAY}/GetProfile", user_id="ada").user.id,
        USERS: lambda: client.call(f"{USERS}/GetUser", user_id="ada").id,
        COUNTRIES: lambda: client.call(f"{COUNTRIES}/GetCountry", code="gb").code,
    }[service]
    assert call() in ("ada", "GB")
