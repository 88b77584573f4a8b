"""Aggregates with each strategy, called by grpcio."""

import pytest
from fanout_up import DELAY, services
from reflected_client import GATEWAY, calls_of, nanos, seconds

SEQUENTIAL, CONCURRENT, SPAWNED = "STRATEGY_SEQUENTIAL", "STRATEGY_CONCURRENT", "STRATEGY_SPAWNED"
ALL = [SEQUENTIAL, CONCURRENT, SPAWNED]
JOINED = [CONCURRENT, SPAWNED]


def name_of(report):
    return report.DESCRIPTOR.fields_by_name["strategy"].enum_type.values_by_number[report.strategy].name


def check_sums(report):
    """Checks the relations that hold to the nanosecond, however busy the machine is."""
    starts = [nanos(call.start) for call in report.calls]
    ends = [nanos(call.start) + nanos(call.duration) for call in report.calls]
    wall, total = nanos(report.wall_time), nanos(report.total_time)
    assert wall == max(ends) - min(starts)
    assert total == sum(nanos(call.duration) for call in report.calls)
    assert nanos(report.saved_time) == max(0, total - wall)
    assert [call.critical for call in report.calls] == [end == max(ends) for end in ends]
    return wall / 1e9, total / 1e9


def check_calls(report, **methods):
    ok = 1
    assert [call.method for call in calls_of(report, *methods)] == list(methods.values())
    assert {(call.state, call.attempts) for call in report.calls} == {(ok, 1)}
    # No call is shorter than the delay of its backend.
    assert all(seconds(call.duration) >= DELAY for call in report.calls)


def profile(gateway, strategy=None):
    fields = {"strategy": strategy} if strategy else {}
    return gateway.call(f"{GATEWAY}/GetProfile", user_id="ada", **fields)


def check_profile(reply):
    assert (reply.user.id, reply.user.display_name, reply.user.country_code) == ("ada", "Ada Lovelace", "GB")
    assert len(reply.country_list.countries) == 249
    codes = [country.code for country in reply.country_list.countries]
    assert codes == sorted(codes)
    check_calls(
        reply.report,
        user="fanout.user.v1.UserService/GetUser",
        country="fanout.country.v1.CountryService/ListCountries",
    )


def test_sequential_calls_take_the_sum(gateway):
    reply = profile(gateway, SEQUENTIAL)
    check_profile(reply)
    report = reply.report
    assert name_of(report) == SEQUENTIAL
    wall, total = check_sums(report)
    user, country = calls_of(report, "user", "country")
    shorter, slowest = sorted([seconds(user.duration), seconds(country.duration)])
    assert nanos(country.start) >= nanos(user.start) + nanos(user.duration), "they overlap"
    assert total <= wall <= 1.2 * total
    assert seconds(report.saved_time) == 0
    # Joined, they would take as long as the slowest.
    assert seconds(report.avoidable_time) == pytest.approx(wall - slowest, abs=1e-8)
    assert seconds(report.avoidable_time) == pytest.approx(shorter, rel=0.4)


@pytest.mark.parametrize("strategy", JOINED)
def test_joined_calls_take_the_slowest(gateway, strategy):
    reply = profile(gateway, strategy)
    check_profile(reply)
    report = reply.report
    assert name_of(report) == strategy
    wall, _ = check_sums(report)
    user, country = calls_of(report, "user", "country")
    shorter, slowest = sorted([seconds(user.duration), seconds(country.duration)])
    assert slowest <= wall <= 1.2 * slowest
    assert seconds(report.saved_time) > 0.8 * shorter
    assert seconds(report.avoidable_time) < 0.2 * shorter


def test_calls_are_joined_by_default(gateway):
    assert name_of(profile(gateway).report) == CONCURRENT


def test_two_equal_calls_take_half_the_time_when_joined(gateway):
    wall = {strategy: seconds(profile(gateway, strategy).report.wall_time) for strategy in ALL}
    for strategy in JOINED:
        assert wall[SEQUENTIAL] / wall[strategy] == pytest.approx(2, rel=0.25), wall


def test_two_callers_wait_as_long_as_one(gateway):
    """A sequential handler delays only its own caller."""
    calls = [gateway.start(f"{GATEWAY}/GetProfile", user_id=user, strategy=SEQUENTIAL) for user in ("ada", "alan")]
    replies = [call.result() for call in calls]
    assert [reply.user.id for reply in replies] == ["ada", "alan"]
    for reply in replies:
        assert 2 * DELAY <= seconds(reply.report.wall_time) < 3 * DELAY


@pytest.mark.parametrize("strategy", ALL)
def test_dependent_calls_cannot_be_joined(gateway, strategy):
    reply = gateway.call(f"{GATEWAY}/GetHomeCountry", user_id="ada", strategy=strategy)
    assert (reply.user.id, reply.country.code, reply.country.alpha3_code) == ("ada", "GB", "GBR")
    assert reply.country.numeric_code == 826
    report = reply.report
    assert name_of(report) == strategy
    check_calls(
        report,
        user="fanout.user.v1.UserService/GetUser",
        country="fanout.country.v1.CountryService/GetCountry",
    )
    wall, total = check_sums(report)
    user, country = calls_of(report, "user", "country")
    assert nanos(country.start) >= nanos(user.start) + nanos(user.duration)
    assert total <= wall <= 1.2 * total
    assert seconds(report.saved_time) == 0
    assert seconds(report.avoidable_time) < 0.2 * DELAY


def test_the_trace_is_named_in_header_and_report(gateway):
    method, request = gateway.method(f"{GATEWAY}/GetProfile")
    reply, call = method.with_call(request(user_id="ada"), timeout=10)
    traceresponse = dict(call.initial_metadata())["traceresponse"]
    version, trace_id, span_id, flags = traceresponse.split("-")
    assert (version, len(trace_id), len(span_id), len(flags)) == ("00", 32, 16, 2)
    assert trace_id == reply.report.trace_id


def test_the_clients_trace_continues_through_every_process(gateway, up, trace):
    method, request = gateway.method(f"{GATEWAY}/GetProfile")
    reply, call = method.with_call(request(user_id="ada"), timeout=10, metadata=trace.metadata)
    assert reply.report.trace_id == trace.id
    assert dict(call.initial_metadata())["traceresponse"].split("-")[1] == trace.id
    for service in services():
        line = up.wait_line(service=service, trace_id=trace.id, message="request finished")
        assert line["code"] == "OK"
