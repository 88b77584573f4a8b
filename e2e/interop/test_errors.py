"""Errors as google.rpc.Status, read by grpcio-status."""

import grpc
import pytest
from reflected_client import COUNTRIES, GATEWAY, USERS, calls_of, raw_error
from rich_errors import details, violations

FAILED, CANCELLED, SKIPPED = 2, 3, 4


def report_of(gateway, error):
    trailers = dict(error.trailing_metadata())
    return gateway.message("fanout.gateway.v1.FanOutReport").FromString(trailers["fanout-report-bin"])


@pytest.mark.parametrize("method", ["GetProfile", "GetHomeCountry", "StreamUsers"])
def test_a_missing_user_is_reported_through_the_gateway(gateway, method):
    fields = {"user_ids": ["nobody"]} if method == "StreamUsers" else {"user_id": "nobody"}
    error = gateway.error(f"{GATEWAY}/{method}", **fields)
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert '"nobody"' in error.details()
    found = details(error)
    assert set(found) == {"ResourceInfo", "ErrorInfo"}
    assert found["ResourceInfo"].resource_type == "fanout.user.v1.User"
    assert found["ResourceInfo"].resource_name == "nobody"
    assert found["ErrorInfo"].reason == "USER_NOT_FOUND"
    assert found["ErrorInfo"].domain == "fanout.user.v1"
    assert found["ErrorInfo"].metadata["backend"] == "user"


@pytest.mark.parametrize(
    ("strategy", "other"),
    [("STRATEGY_SEQUENTIAL", SKIPPED), ("STRATEGY_CONCURRENT", CANCELLED), ("STRATEGY_SPAWNED", CANCELLED)],
)
def test_the_report_of_a_failure_is_in_the_trailer(gateway, trace, strategy, other):
    metadata = [*trace.metadata, ("baggage", "user.delay=10ms,country.delay=20s")]
    error = gateway.error(f"{GATEWAY}/GetProfile", metadata=metadata, user_id="nobody", strategy=strategy)
    assert error.code() == grpc.StatusCode.NOT_FOUND
    report = report_of(gateway, error)
    assert report.trace_id == trace.id
    user, country = calls_of(report, "user", "country")
    assert (user.name, user.state, user.attempts) == ("user", FAILED, 1)
    assert (country.name, country.state) == ("country", other)
    assert user.error.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert report.wall_time.seconds < 10, "does not wait for the other call"


@pytest.mark.parametrize(
    ("method", "fields", "wrong"),
    [
        ("GetProfile", {"user_id": ""}, {"user_id"}),
        ("GetProfile", {"user_id": "Ada!"}, {"user_id"}),
        ("GetProfile", {"user_id": "ada", "strategy": 9}, {"strategy"}),
        ("GetHomeCountry", {"user_id": "ada", "strategy": -1}, {"strategy"}),
        ("GetProfile", {"strategy": 9, "failure_policy": 9}, {"user_id", "strategy", "failure_policy"}),
        ("StreamUsers", {}, {"user_ids"}),
        ("StreamUsers", {"user_ids": ["ada"] * 1001}, {"user_ids"}),
        ("StreamUsers", {"user_ids": ["ada", "-"], "max_in_flight": 257}, {"user_ids[1]", "max_in_flight"}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_every_invalid_field_is_named(gateway, method, fields, wrong):
    error = gateway.error(f"{GATEWAY}/{method}", **fields)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert violations(error) == wrong
    assert all(field in error.details() for field in wrong)


@pytest.mark.parametrize(
    ("code", "status", "detail"),
    [("XX", grpc.StatusCode.NOT_FOUND, "ResourceInfo"), ("G1", grpc.StatusCode.INVALID_ARGUMENT, "BadRequest")],
)
def test_an_unknown_or_invalid_country(countries, code, status, detail):
    error = countries.error(f"{COUNTRIES}/GetCountry", code=code)
    assert error.code() == status
    assert detail in details(error)


@pytest.mark.parametrize(
    ("baggage", "key"),
    [
        ("user.delay=soon", "user.delay"),
        ("country.delay=61s", "country.delay"),
        ("user.error-rate=2", "user.error-rate"),
    ],
)
def test_invalid_baggage_names_its_key(gateway, baggage, key):
    error = gateway.error(f"{GATEWAY}/GetProfile", metadata=[("baggage", baggage)], user_id="ada")
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert key in error.details()
    assert violations(error) == {f"baggage: {key}"}


def test_foreign_baggage_is_ignored(gateway):
    metadata = [("baggage", "tenant=7;ttl=soon,user.id=ada")]
    assert gateway.call(f"{GATEWAY}/GetProfile", metadata=metadata, user_id="ada").user.id == "ada"


@pytest.mark.parametrize("service", ["gateway", "users", "countries"])
@pytest.mark.parametrize("path", ["{own}/NoSuchMethod", "fanout.nobody.v1.NoService/Get"])
def test_an_unknown_method_is_unimplemented(service, path, request):
    client = request.getfixturevalue(service)
    own = {"gateway": GATEWAY, "users": USERS, "countries": COUNTRIES}[service]
    error = raw_error(client.channel, path.format(own=own), b"")
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def test_injected_failures_name_their_backend(gateway):
    metadata = [("baggage", "country.error-rate=1")]
    error = gateway.error(f"{GATEWAY}/GetProfile", metadata=metadata, user_id="ada")
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert details(error)["ErrorInfo"].metadata["backend"] == "country"
    assert [call.state for call in report_of(gateway, error).calls if call.name == "country"] == [FAILED]
