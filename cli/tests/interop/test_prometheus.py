"""A real Prometheus scrapes the three services, and finds all that the dashboard and the alerts ask for.

It is Debian's package `prometheus`; without it the test skips itself, unless FANOUT_REQUIRE_PROMETHEUS is set.
"""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml
from fanout_up import BINARY, REPOSITORY, START
from service import Service, free_port

METRICS = REPOSITORY / "deploy/metrics"
DASHBOARD = METRICS / "grafana/dashboards/fanout.json"

# A call through the gateway, as its metric has it.
GET_PROFILE = "fanout.gateway.v1.GatewayService/GetProfile"


def panels() -> list[dict]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """All that the dashboard and the alerts ask."""
    rules = yaml.safe_load((METRICS / "alerts.yml").read_text())["groups"][0]["rules"]
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    return asked + [rule["expr"] for rule in rules]


def names(expression: str) -> set[str]:
    """The metrics that an expression names."""
    bare = re.sub(r"\{[^}]*\}|(?:by|without) \([^)]*\)", "", expression)
    return set(re.findall(r"\b(?:fanout|rpc|tokio|target)_\w+", bare))


def test_every_panel_says_what_it_shows():
    for panel in panels():
        assert panel["title"] and panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] and panel["targets"], panel["title"]


def test_every_service_of_the_compose_file_is_scraped():
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    ours = {name for name, service in compose.items() if "fanout/" in service["image"]}
    (job,) = yaml.safe_load((METRICS / "prometheus.yml").read_text())["scrape_configs"]
    assert set(job["dns_sd_configs"][0]["names"]) == ours
    assert all(compose[name]["environment"]["OTEL_METRICS_EXPORTER"] for name in ours)


@pytest.fixture
def prometheus():
    program = shutil.which("prometheus")
    if not program:
        assert not os.environ.get("FANOUT_REQUIRE_PROMETHEUS"), "Debian's package prometheus is needed here"
        pytest.skip("there is no prometheus on this machine")
    return program


def test_the_configuration_and_the_alerts_are_sound(prometheus):
    for check in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(["promtool", *check], cwd=METRICS, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


class Scraper:
    """Prometheus with its data in a directory, and its HTTP API."""

    def __init__(self, program: str, directory: Path, targets: dict[str, int]):
        labelled = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"service": service}} for service, port in targets.items()
        ]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(METRICS / "alerts.yml")],
            "scrape_configs": [{"job_name": "fanout", "static_configs": labelled}],
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            [
                program,
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=(directory / "prometheus.log").open("wb"),
        )

    def query(self, expression: str) -> list[dict]:
        with urllib.request.urlopen(f"{self.url}/api/v1/query?" + urllib.parse.urlencode({"query": expression})) as reply:
            return json.load(reply)["data"]["result"]

    def wait_for(self, expression: str) -> list[dict]:
        """What an expression finds, once it finds something. Asks again and again: there is no event to wait for."""
        until = time.monotonic() + START
        while True:
            try:
                if found := self.query(expression):
                    return found
            except urllib.error.URLError:
                pass  # it is still starting
            assert time.monotonic() < until, f"nothing for {expression}"
            time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        self.process.wait(START)


def load(gateway: Service, *flags: str):
    command = [BINARY, "load", "--json", "--gateway", f"http://{gateway.address}", *flags]
    assert subprocess.run(command, capture_output=True, timeout=60).stdout


def test_what_the_dashboard_shows_is_there(prometheus, tmp_path):
    ports = {name: free_port() for name in ("gateway", "user-service", "country-service")}

    def new(name: str, *flags: str) -> Service:
        env = {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": str(ports[name])}
        return Service(name, tmp_path / f"{name}.log", *flags, env=env)

    database = ("--database", f"sqlite:{tmp_path}/users.db", "--seed")
    users = new("user-service", "--delay", "5ms", "--allow-overrides", *database)
    countries = new("country-service", "--delay", "5ms", "--allow-overrides")
    gateway = new(
        "gateway",
        *("--user-service", f"http://{users.address}", "--country-service", f"http://{countries.address}"),
        # So that each thing that is counted happens.
        *("--hedge", "20ms", "--coalesce", "country", "--retry-floor", "1", "--breaker-failures", "20"),
        *("--backend-max-in-flight", "40", "--max-in-flight", "60"),
    )
    services, scraper = [users, countries, gateway], None
    try:
        for service in services:
            service.start()
        scraper = Scraper(prometheus, tmp_path, ports)
        load(gateway, "--callers", "4", "--requests", "200")
        load(gateway, "--callers", "8", "--requests", "200", "--delay", "user=50ms")  # hedged
        load(gateway, "--callers", "200", "--requests", "400", "--delay", "user=50ms")  # refused
        load(gateway, "--callers", "4", "--requests", "200", "--baggage", "country.error-rate=1")  # retried, and broken
        scraper.wait_for("count(up == 1 and on (instance) scrape_samples_scraped > 0) == 3")
        ended = scraper.wait_for(f'rpc_server_call_duration_seconds_count{{service="gateway",rpc_method="{GET_PROFILE}"}}')
        assert {sample["metric"]["rpc_response_status_code"] for sample in ended} >= {"OK"}
        # The last scrape has all 1000: by then everything else has been counted too.
        scraper.wait_for(f'sum(rpc_server_call_duration_seconds_count{{service="gateway",rpc_method="{GET_PROFILE}"}}) == 1000')
        known = {sample["metric"]["__name__"] for sample in scraper.query('{job="fanout"}')}
        missing = {name for expression in expressions() for name in names(expression)} - known
        assert not missing, f"asked for, and not there: {missing}"
        for expression in expressions():
            scraper.query(expression.replace("$__rate_interval", "30s"))
        (scraped,) = scraper.query('count({service="gateway"})')
        print(f"\n{scraped['value'][1]} series of the gateway")
        for port in ports.values():
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read()
            lint = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True)
            assert lint.returncode == 0 and not lint.stderr, lint.stderr.decode()
    finally:
        if scraper:
            scraper.stop()
        for service in services:
            service.kill()
