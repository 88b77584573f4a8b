"""The services' metrics in a real Prometheus, and whether the dashboard and the alerts find them."""

import os
import re
import shutil
import socket
import subprocess
import time
from types import SimpleNamespace

import grpc
import pytest
from fanout_up import START, Up, services
from metrics_files import dashboard_expressions, documented, metric_of, rule_expressions
from prometheus_server import Prometheus, get
from reflected_client import GATEWAY, ReflectedClient, open_channel

# In the order of their metrics ports.
SERVICES = services()
GET_PROFILE, GET_HOME_COUNTRY = f"{GATEWAY}/GetProfile", f"{GATEWAY}/GetHomeCountry"
BEST_EFFORT = 2
DELAY = 0.1
# Settings with which a few calls make the gateway retry, hedge, coalesce and refuse.
SETTINGS = {
    "GATEWAY_HEDGE": "300ms",
    "GATEWAY_HEDGE_BUDGET": "100%",
    "GATEWAY_COALESCE": "country",
    "GATEWAY_RETRY_FLOOR": "1",
    "GATEWAY_RETRY_BUDGET": "1%",
    "GATEWAY_BREAKER_FAILURES": "20",
    "GATEWAY_BACKEND_MAX_IN_FLIGHT": "8",
    "GATEWAY_MAX_IN_FLIGHT": "24",
    # Its own failures count against it, those that a request asks for do not.
    "USER_SERVICE_ERROR_RATE": "1",
}
# What spares a request those failures.
SPARED = "user.error-rate=0"
# The values of the dashboard's variables.
WINDOWS = {"$__rate_interval": "1m", "$__range": "5m"}
# These have values only after an hour.
LATER = {"fanout:gateway_latency_seconds:p99_usual"}


@pytest.fixture(scope="module", autouse=True)
def prometheus_is_installed():
    missing = [name for name in ("prometheus", "promtool") if not shutil.which(name)]
    if missing and os.environ.get("FANOUT_REQUIRE_PROMETHEUS") != "1":
        pytest.skip(f"there is no {missing[0]}: apt-get install prometheus")
    assert not missing, f"FANOUT_REQUIRE_PROMETHEUS is set, and there is no {missing}"


def free_ports_in_a_row(count: int) -> int:
    """The first of this many consecutive ports that were free a moment ago."""
    for first in range(20_000, 30_000, count):
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
            return first
        except OSError:
            continue
    raise AssertionError(f"no {count} ports in a row are free")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """`fanout up` with metrics, a Prometheus that scrapes all services, and a client of the gateway."""
    port = free_ports_in_a_row(len(SERVICES))
    environment = SETTINGS | {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": str(port)}
    up = Up(tmp_path_factory.mktemp("up") / "data", "--delay", f"{DELAY}s", environment=environment)
    targets = {service: f"127.0.0.1:{port + at}" for at, service in enumerate(SERVICES)}
    try:
        up.wait_up()
        prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), targets)
        try:
            for service in SERVICES:
                prometheus.wait_for(f'up{{service="{service}"}} == 1')
            with open_channel(up.address("gateway")) as channel:
                yield SimpleNamespace(prometheus=prometheus, targets=targets, gateway=ReflectedClient(channel))
        finally:
            prometheus.stop()
    finally:
        up.stop()


@pytest.fixture(scope="module")
def eventful(measured):
    """The same after every counted event has happened twice, before and after a scrape, so that there are rates."""
    for _ in range(2):
        wait_until_healthy(measured.gateway)
        provoke(measured.gateway)
        measured.prometheus.wait_for('timestamp(up{service="gateway"}) > ' + f"{scraped(measured):.3f}")
    return measured


def scraped(measured) -> float:
    return measured.prometheus.value('timestamp(up{service="gateway"})')


def wait_until_healthy(gateway):
    """Calls until the circuit breaker is closed; it probes only when there are calls."""
    until = time.monotonic() + START
    while gateway.start(GET_PROFILE, metadata=[("baggage", SPARED)], user_id="ada").code() != grpc.StatusCode.OK:
        assert time.monotonic() < until, "the breaker does not close"
        time.sleep(0.1)


def at_once(gateway, calls: int, baggage: str, **fields) -> list[str]:
    """The codes of this many concurrent calls."""
    metadata = [("baggage", f"{SPARED},{baggage}")]
    start = lambda: gateway.start(GET_PROFILE, metadata=metadata, user_id="ada", **fields)
    return [call.code().name for call in [start() for _ in range(calls)]]


def provoke(gateway):
    for strategy in (1, 2, 3):
        gateway.call(GET_PROFILE, user_id="ada", strategy=strategy, metadata=[("baggage", SPARED)])
    # The ninth call to the user service is above the limit.
    assert "RESOURCE_EXHAUSTED" in at_once(gateway, 12, "user.delay=200ms")
    # These share one call to the country service, and the 25th request is above the limit.
    codes = at_once(gateway, 60, "country.delay=300ms", failure_policy=BEST_EFFORT)
    assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}
    # The call takes longer than the hedging delay.
    gateway.call(GET_PROFILE, user_id="ada", metadata=[("baggage", f"{SPARED},user.delay=600ms")])
    # Retried until the budget is spent, and refused once the circuit breaker is open.
    for _ in range(40):
        error = gateway.error(GET_PROFILE, user_id="ada", metadata=[("baggage", "user.delay=0")])
        assert error.code() == grpc.StatusCode.UNAVAILABLE


def pages(measured) -> dict[str, str]:
    return {service: get(f"http://{at}/metrics") for service, at in measured.targets.items()}


def series_of(page: str) -> list[tuple[str, set[str]]]:
    """The name and the labels of each series."""
    lines = [line for line in page.splitlines() if line and not line.startswith("#")]
    found = [re.match(r"([^{ ]+)(?:\{(.*)\})? ", line) for line in lines]
    return [(match[1], set(re.findall(r'(\w+)="', match[2] or ""))) for match in found]


def test_each_service_is_scraped_without_an_error(measured):
    prometheus = measured.prometheus
    for service, at in measured.targets.items():
        assert prometheus.query(f'up{{service="{service}"}}') == [
            ({"__name__": "up", "job": "fanout", "service": service, "instance": at}, 1)
        ]
        assert prometheus.value(f'scrape_samples_scraped{{service="{service}"}}') > 0
        assert prometheus.value(f'scrape_samples_post_metric_relabeling{{service="{service}"}}') > 0
        prometheus.wait_for(f'target_info{{service="{service}",service_name="{service}"}} == 1')
    assert {target["lastError"] for target in prometheus.ask("targets")["activeTargets"]} == {""}


def test_requests_and_attempts_are_counted_by_method_and_code(measured):
    prometheus = measured.prometheus
    for user, code in [("ada", "OK"), ("ada", "OK"), ("ada", "OK"), ("nobody", "NOT_FOUND")]:
        if code == "OK":
            measured.gateway.call(GET_HOME_COUNTRY, user_id=user, metadata=[("baggage", SPARED)])
        else:
            assert measured.gateway.error(GET_HOME_COUNTRY, user_id=user, metadata=[("baggage", SPARED)]).code().name == code
    asked = f'{{service="gateway",rpc_system_name="grpc",rpc_method="{GET_HOME_COUNTRY}",rpc_response_status_code="%s"}}'
    for code, count in {"OK": 3, "NOT_FOUND": 1}.items():
        [(labels, _)] = prometheus.wait_for(f"rpc_server_call_duration_seconds_count{asked % code} == {count}")
        assert "error_type" not in labels, "NOT_FOUND is not an error of the server"
    # Only the second call of the chain is GetCountry.
    attempts = 'rpc_client_call_duration_seconds_count{rpc_method="fanout.country.v1.CountryService/GetCountry"}'
    [(labels, count)] = prometheus.query(attempts)
    assert count == 3 and labels["rpc_response_status_code"] == "OK"
    assert labels["server_address"] == "127.0.0.1" and int(labels["server_port"]) > 0
    mean = f"rpc_server_call_duration_seconds_sum{asked % 'OK'} / rpc_server_call_duration_seconds_count{asked % 'OK'}"
    assert 2 * DELAY <= prometheus.value(mean) < 2 * DELAY + 1


def test_the_fan_out_s_figures_are_those_of_the_reports(measured):
    prometheus = measured.prometheus
    reports = {}
    for strategy, name in {1: "sequential", 2: "concurrent", 3: "spawned"}.items():
        own = f'{{rpc_method="{GET_PROFILE}",fanout_strategy="{name}"}}'
        sums = {figure: f"fanout_fan_out_{figure}_seconds_sum{own}" for figure in ("wall", "saved", "avoidable")}
        before = {figure: prometheus.value(each) or 0 for figure, each in sums.items()}
        count = prometheus.value(f"fanout_fan_out_wall_seconds_count{own}") or 0
        report = measured.gateway.call(GET_PROFILE, user_id="ada", strategy=strategy, metadata=[("baggage", SPARED)]).report
        prometheus.wait_for(f"fanout_fan_out_wall_seconds_count{own} == {count + 1}")
        for figure, was in before.items():
            said = getattr(report, f"{figure}_time").ToTimedelta().total_seconds()
            counted = prometheus.value(sums[figure]) - was
            assert counted == pytest.approx(said, abs=1e-4), (name, figure)
            reports[name, figure] = counted
    assert reports["sequential", "wall"] >= 2 * DELAY and reports["sequential", "avoidable"] > DELAY / 2
    for name in ("concurrent", "spawned"):
        assert reports[name, "wall"] < reports["sequential", "wall"]
        assert reports[name, "saved"] > DELAY / 2


def test_promtool_accepts_every_page(eventful):
    for service, page in pages(eventful).items():
        done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, timeout=20)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), service


def test_the_pages_match_the_documentation(eventful):
    table, found = documented(), {}
    for page in pages(eventful).values():
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))
        assert set(types) == set(re.findall(r"^# HELP (\S+) \S+", page, re.MULTILINE)), "each has a type and a description"
        for name, labels in series_of(page):
            metric = name if name in types else metric_of(name)
            found.setdefault(metric, (types[metric], set()))[1].update(labels - {"le"})
    assert set(found) == set(table)
    for metric, (type_, labels) in found.items():
        assert type_ == table[metric].type, metric
        assert labels == table[metric].labels, metric


def test_events_are_counted_by_their_metrics(eventful):
    prometheus = eventful.prometheus
    for expression in (
        'fanout_backend_retries_total{fanout_backend="user"}',
        'fanout_backend_retries_refused_total{fanout_backend="user"}',
        'fanout_backend_breaker_rejected_total{fanout_backend="user"}',
        'sum(fanout_backend_hedges_total{fanout_backend="user"})',
        'fanout_backend_coalesced_total{fanout_backend="country"}',
        'fanout_backend_shed_total{fanout_backend="user"}',
        'sum(fanout_server_shed_total{service="gateway"})',
    ):
        [(_, count)] = prometheus.wait_for(f"{expression} > 0")
        assert count == int(count)
    for backend in ("user", "country"):
        assert prometheus.value(f'fanout_backend_connections{{fanout_backend="{backend}"}}') >= 1
        states = prometheus.query(f'fanout_backend_replicas{{fanout_backend="{backend}"}}')
        assert {labels["state"] for labels, _ in states} == {"ready", "ejected", "connecting", "not_serving", "failed"}
        assert sum(count for _, count in states) == 1
    assert prometheus.value('fanout_backend_retries_total{fanout_backend="country"}') == 0, "it did not fail"


@pytest.mark.parametrize(("name", "expression"), dashboard_expressions(), ids=[name for name, _ in dashboard_expressions()])
def test_the_dashboards_queries_have_results(eventful, name, expression):
    for variable, window in WINDOWS.items():
        expression = expression.replace(variable, window)
    if name == "Alerts":  # none fires
        eventful.prometheus.query(expression)
    else:
        found = eventful.prometheus.wait_for(expression)
        assert any(value == value for _, value in found), "all values are NaN"


def test_the_rules_are_evaluated(eventful):
    rules = [rule for group in eventful.prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(rule_expressions())
    assert {rule["type"] for rule in rules} == {"recording", "alerting"}
    for rule in rules:
        assert not rule.get("lastError"), rule
        assert rule["health"] in {"ok", "unknown"}, rule  # unknown: evaluated each minute, and none has passed
    for name, expression in rule_expressions():
        answer = eventful.prometheus.query(expression)
        if ":" in name and name not in LATER:
            assert answer or "latency" in name, f"{name} records nothing"
