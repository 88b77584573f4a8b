"""The question's handler in other languages, under stock OpenTelemetry: what `fanout analyze` and `fanout view` say of its traces.

`examples/question/run` runs the programs as a user would, and collects their traces over OTLP: HTTP from Python and Node, gRPC
from Rust.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fanout_up import BINARY, REPOSITORY
from fanout_view import View
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

QUESTION = REPOSITORY / "examples/question"

# How long each call takes, in seconds.
DELAY = 1.0

# Upper bounds in seconds, far above what a slow machine needs: packages are installed, the programs in Rust are built.
RUN = 900
ANALYZE = 60
COUNTED = 60

# The routes of each handler that make both calls at once.
TOGETHER = {"python": ["together", "tasks", "task-group"], "node": ["together"], "rust": ["together", "tasks"]}

# GET /countries has no parameter that could come from the first reply; an RPC's parameters are not in its span.
CERTAINTY = {"python": "independent", "node": "independent", "rust": "unknown"}


def run(*arguments, endpoint: str | None = None) -> str:
    """Runs the programs, which send to this endpoint if they write no file. They end with the process of the tests, whichever way."""
    command = ["setpriv", "--pdeathsig", "TERM", sys.executable, QUESTION / "run", *map(str, arguments)]
    env = os.environ | ({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} if endpoint else {})
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=env, text=True, **pipes) as process:
        try:
            shown, errors = process.communicate(timeout=RUN)
        except subprocess.TimeoutExpired:
            process.terminate()
            raise
    assert (process.returncode, errors) == (0, ""), shown + errors
    return shown


def analyze(*arguments, expected_code: int = 0) -> str:
    process = subprocess.run([BINARY, "analyze", *map(str, arguments)], capture_output=True, text=True, timeout=ANALYZE)
    assert process.returncode == expected_code, process.stdout + process.stderr
    return process.stdout


def traces_of(file: Path) -> list[dict]:
    found = json.loads(analyze("--json", file))
    assert [given["problems"] for given in found["inputs"]] == [[]]
    assert all(trace["complete"] for trace in found["traces"])
    return found["traces"]


@pytest.fixture(scope="module", params=TOGETHER)
def language(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def answers(language, tmp_path_factory) -> tuple[str, Path]:
    """What a run printed, and the file with its traces."""
    file = tmp_path_factory.mktemp(language) / "traces.pb"
    return run(language, "--delay", DELAY, "--traces", file), file


@pytest.fixture(scope="module")
def by_route(language, answers) -> dict[str, list[dict]]:
    """The traces of each of the handler's routes."""
    traces = {}
    for trace in traces_of(answers[1]):
        assert trace["service"] == f"handler-{language}"
        traces.setdefault(trace["name"].removeprefix("GET /"), []).append(trace)
    return traces


@pytest.fixture(scope="module")
def calls(language, answers) -> dict[str, list[tuple[float, float]]]:
    """When the handler's calls started and ended, in milliseconds, by trace id: read from the file without `fanout`."""
    times: dict[str, dict[bytes, tuple[float, float]]] = {}
    for resource in TracesData.FromString(answers[1].read_bytes()).resource_spans:
        spans = (span for scope in resource.scope_spans for span in scope.spans if span.kind == Span.SPAN_KIND_CLIENT)
        for span in spans:
            # By its id: an exporter that had no answer in time sends a span again.
            times.setdefault(span.trace_id.hex(), {})[span.span_id] = (span.start_time_unix_nano / 1e6, span.end_time_unix_nano / 1e6)
    return {trace_id: list(spans.values()) for trace_id, spans in times.items()}


def sequences(trace: dict) -> list[dict]:
    return [sequence for fan_out in trace["fan_outs"] for sequence in fan_out["sequences"]]


def test_each_answer_is_as_expected(language, answers):
    lines = answers[0].splitlines()
    measured = [line for line in lines if line.endswith(" s")]
    assert len(measured) == 3 + len(TOGETHER[language]), answers[0]
    assert "not as expected" not in answers[0]


def test_every_route_has_its_traces(language, by_route):
    expected = dict.fromkeys([*TOGETHER[language], "chain"], 1) | {"in-turn": 3}
    assert {route: len(traces) for route, traces in by_route.items()} == expected


def durations(calls: list[tuple[float, float]]) -> list[float]:
    """How long the two calls took. A busy machine makes them longer than what they wait for."""
    found = [end - start for start, end in calls]
    assert len(found) == 2 and min(found) >= 0.99 * DELAY * 1000, found
    return found


def test_calls_in_turn_are_found_with_what_joining_would_save(language, by_route, calls):
    for trace in by_route["in-turn"]:
        shorter = min(durations(calls[trace["trace_id"]]))
        assert trace["avoidable_ms"] == pytest.approx(shorter, rel=0.05)
        [sequence] = sequences(trace)
        assert len(sequence["calls"]) == 2
        assert sequence["saves_ms"] == pytest.approx(shorter, rel=0.05)
        assert sequence["certainty"] == CERTAINTY[language], sequence


def test_two_callers_do_not_wait_for_one_another(by_route, calls):
    for trace in by_route["in-turn"][1:]:
        own = durations(calls[trace["trace_id"]])
        # If one waited for the other, it would be here before its calls, or in them.
        assert trace["wall_ms"] == pytest.approx(sum(own), rel=0.05)
        assert max(own) < 1.5 * DELAY * 1000, own


def test_joined_calls_are_not_found(language, by_route, calls):
    for route in TOGETHER[language]:
        [trace] = by_route[route]
        times = calls[trace["trace_id"]]
        joined = max(end for _, end in times) - min(start for start, _ in times)
        assert trace["saved_ms"] == pytest.approx(sum(durations(times)) - joined, rel=0.05)
        assert trace["avoidable_ms"] < 0.05 * DELAY * 1000
        assert sequences(trace) == []


def test_a_chain_is_found_with_a_condition(by_route):
    [trace] = by_route["chain"]
    [sequence] = sequences(trace)
    assert sequence["certainty"] == "unknown"
    assert "if the second does not need the first" in sequence["sentence"]


def test_a_build_fails_on_calls_in_turn(answers):
    shown = analyze("--max-avoidable", f"{DELAY * 0.9}s", answers[1], expected_code=1)
    assert "GET /in-turn" in shown
    analyze("--max-avoidable", f"{DELAY * 1.1}s", answers[1])


# === The same, of the viewer ===


@pytest.fixture(scope="module", params=TOGETHER)
def viewed(request):
    """A language, and a viewer to which a run has sent its traces, as `OTEL_EXPORTER_OTLP_ENDPOINT` says."""
    view = View()
    try:
        run(request.param, "--delay", DELAY, endpoint=f"http://{view.grpc if request.param == 'rust' else view.http}")
        yield request.param, view
    finally:
        assert view.stop() == 0


def traces_in(view: View, language: str, route: str) -> list[dict]:
    """The traces of a route, whole, in the order of their requests."""
    found = view.get(f"/api/traces?service=handler-{language}&operation=GET%20/{route}")["traces"]
    return [view.get(f"/api/traces/{trace['trace_id']}") for trace in reversed(found)]


def test_the_viewer_has_every_request(viewed):
    language, view = viewed
    expected = dict.fromkeys([*TOGETHER[language], "chain"], 1) | {"in-turn": 3}
    assert {route: len(traces_in(view, language, route)) for route in expected} == expected
    status = view.get("/api/status")
    assert (status["dropped"]["spans"], status["dropped"]["traces"], status["refused_requests"]) == (0, 0, 0)
    assert status["received"]["metrics"] == status["received"]["logs"] == 0


def test_the_viewer_finds_calls_in_turn_with_what_joining_would_save(viewed):
    language, view = viewed
    for detail in traces_in(view, language, "in-turn"):
        trace = detail["trace"]
        assert trace["complete"]
        calls = [span["duration"] for span in detail["spans"] if span["kind"] == "client"]
        assert len(calls) == 2 and min(calls) >= 0.99 * DELAY * 1e9, calls
        assert trace["avoidable"] == pytest.approx(min(calls), rel=0.05)
        [sequence] = [it for fan_out in detail["fan_outs"] for it in fan_out["sequences"]]
        assert sequence["took"] - sequence["together"] == pytest.approx(min(calls), rel=0.05)
        assert (len(sequence["calls"]), sequence["certainty"]) == (2, CERTAINTY[language])
        assert "joining" in detail["verdict"][0], detail["verdict"]


def test_the_viewer_finds_nothing_in_joined_calls(viewed):
    language, view = viewed
    for route in TOGETHER[language]:
        [detail] = traces_in(view, language, route)
        calls = [span["duration"] for span in detail["spans"] if span["kind"] == "client"]
        assert detail["trace"]["saved"] == pytest.approx(min(calls), rel=0.05)
        assert detail["trace"]["avoidable"] < 0.05 * DELAY * 1e9
        assert not any(fan_out["sequences"] for fan_out in detail["fan_outs"])


def test_the_viewer_finds_a_chain_with_a_condition(viewed):
    language, view = viewed
    [detail] = traces_in(view, language, "chain")
    [sequence] = [it for fan_out in detail["fan_outs"] for it in fan_out["sequences"]]
    assert sequence["certainty"] == "unknown"
    assert "if the second does not need the first" in sequence["sentence"]


def test_the_viewer_ranks_the_operation_with_calls_in_turn_first(viewed):
    language, view = viewed
    requests = 5 + len(TOGETHER[language]) - 1
    until = time.monotonic() + COUNTED
    # A trace is counted a few seconds after its last span, and nothing but the counts says so.
    while sum(operation["count"] for operation in handled(view, language)) < requests:
        assert time.monotonic() < until, view.get("/api/operations")
        time.sleep(0.1)
    first, *others = handled(view, language)
    assert (first["name"], first["count"], first["certainty"]) == ("GET /in-turn", 3, CERTAINTY[language])
    assert first["avoidable"]["p50"] == pytest.approx(DELAY * 1e9, rel=0.1)
    joined = [operation for operation in others if operation["name"] != "GET /chain"]
    assert len(joined) == len(TOGETHER[language])
    assert all(operation["avoidable"]["p95"] < 0.05 * DELAY * 1e9 for operation in joined)


def handled(view: View, language: str) -> list[dict]:
    """The handler's operations, ranked."""
    operations = view.get("/api/operations")["operations"]
    return [operation for operation in operations if operation["service"] == f"handler-{language}"]


# === Others ===


def critical_path(trace: dict) -> list[str]:
    """The calls on the critical path of a trace."""
    return [part["name"] for part in trace["critical_path"] if part["name"].startswith("get ")]


@pytest.mark.parametrize("flags", [["--runs", "20"], ["--runs", "1", "--task-spans"]], ids=["many traces", "a span for each task"])
def test_the_critical_path_of_a_gather_stays_in_its_task(tmp_path, flags):
    """jaeger-ui#2371."""
    file = tmp_path / "traces.pb"
    run("critical-path", *flags, "--traces", file)
    traces = traces_of(file)
    assert len(traces) == int(flags[1])
    for trace in traces:
        assert trace["name"] == "main"
        assert critical_path(trace) == ["get one", "get three"]


@pytest.mark.parametrize("command", [[sys.executable, "python/pitfalls.py"], ["node", "node/pitfalls.js"]], ids=lambda command: command[1])
def test_what_the_document_says_of_failures_holds(command):
    process = subprocess.run(command, cwd=QUESTION, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("holds:") >= 4
