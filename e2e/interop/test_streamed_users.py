"""StreamUsers: many users, each sent as soon as it arrives."""

import pytest
from fanout_up import DELAY, SEEDED
from google.rpc import code_pb2, error_details_pb2
from reflected_client import GATEWAY, calls_of, seconds


def stream(gateway, *user_ids, **fields):
    *answers, last = gateway.call(f"{GATEWAY}/StreamUsers", user_ids=user_ids, **fields)
    assert last.WhichOneof("content") == "report"
    assert last.user_id == ""
    assert sorted(answer.user_id for answer in answers) == sorted(user_ids)
    return answers, last.report


@pytest.mark.parametrize("strategy", ["STRATEGY_CONCURRENT", "STRATEGY_SPAWNED"])
def test_each_user_arrives_and_the_report_is_last(gateway, strategy):
    answers, report = stream(gateway, *SEEDED, strategy=strategy)
    assert all(answer.user.id == answer.user_id for answer in answers)
    assert [call.state for call in report.calls] == [1] * 12
    assert DELAY <= seconds(report.wall_time) < 2 * DELAY, "12 calls fit into one round of 16"
    assert seconds(report.saved_time) > 0.8 * 11 * DELAY


@pytest.mark.parametrize("strategy", ["STRATEGY_CONCURRENT", "STRATEGY_SPAWNED"])
def test_concurrency_is_limited_as_requested(gateway, strategy):
    _, report = stream(gateway, *SEEDED[:6], max_in_flight=3, strategy=strategy)
    assert 2 * DELAY <= seconds(report.wall_time) < 3 * DELAY
    edges = []
    for call in report.calls:
        start = seconds(call.start)
        edges += [(start, 1), (start + seconds(call.duration), -1)]
    running = most = 0
    for _, change in sorted(edges):
        running += change
        most = max(most, running)
    assert most == 3


def test_sequential_calls_never_overlap(gateway):
    _, report = stream(gateway, *SEEDED[:3], max_in_flight=3, strategy="STRATEGY_SEQUENTIAL")
    wall, total = seconds(report.wall_time), seconds(report.total_time)
    assert total <= wall <= 1.2 * total
    assert seconds(report.saved_time) == 0


def test_a_user_is_sent_before_the_last_call_ends(gateway, up, trace):
    call = gateway.call(f"{GATEWAY}/StreamUsers", metadata=trace.metadata, user_ids=SEEDED[:3], max_in_flight=1)
    assert next(call).user.id == "ada"
    finished = [line for line in up.lines if line.get("trace_id") == trace.id and line["service"] == "gateway"]
    assert finished == [], "the gateway ended the stream before the first user arrived"
    assert [answer.user_id for answer in call] == ["alan", "barbara", ""]


def test_a_repeated_id_gets_a_reply_each_time(gateway):
    answers, report = stream(gateway, "ada", "ada")
    assert [answer.user.id for answer in answers] == ["ada", "ada"]
    assert len(report.calls) == 2


def test_best_effort_reports_missing_users(gateway):
    answers, report = stream(gateway, "ada", "nobody", "alan", failure_policy="FAILURE_POLICY_BEST_EFFORT")
    by_id = {answer.user_id: answer for answer in answers}
    assert (by_id["ada"].user.id, by_id["alan"].user.id) == ("ada", "alan")
    error = by_id["nobody"].error
    assert error.code == code_pb2.NOT_FOUND
    check_missing(error, "nobody")
    assert [(call.state, call.error.code) for call in report.calls] == [(1, 0), (2, code_pb2.NOT_FOUND), (1, 0)]


def test_best_effort_replies_with_what_arrived(gateway):
    reply = gateway.call(f"{GATEWAY}/GetProfile", user_id="nobody", failure_policy="FAILURE_POLICY_BEST_EFFORT")
    assert not reply.HasField("user")
    assert len(reply.country_list.countries) == 249
    user, country = calls_of(reply.report, "user", "country")
    assert (user.state, user.error.code, country.state) == (2, code_pb2.NOT_FOUND, 1)
    check_missing(user.error, "nobody")


def test_best_effort_skips_the_call_that_needs_the_failed_one(gateway):
    reply = gateway.call(f"{GATEWAY}/GetHomeCountry", user_id="nobody", failure_policy="FAILURE_POLICY_BEST_EFFORT")
    assert not reply.HasField("user") and not reply.HasField("country")
    user, country = calls_of(reply.report, "user", "country")
    assert (user.state, country.state, country.attempts) == (2, 4, 0)
    assert not country.HasField("start") and not country.HasField("duration")


def check_missing(error, user_id):
    """Checks that google.rpc.ResourceInfo names the missing user."""
    details = {detail.type_url.rpartition("/")[2]: detail.value for detail in error.details}
    resource = error_details_pb2.ResourceInfo.FromString(details["google.rpc.ResourceInfo"])
    assert (resource.resource_type, resource.resource_name) == ("fanout.user.v1.User", user_id)
    info = error_details_pb2.ErrorInfo.FromString(details["google.rpc.ErrorInfo"])
    assert (info.reason, info.metadata["backend"]) == ("USER_NOT_FOUND", "user")
