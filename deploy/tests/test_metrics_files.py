"""Checks deploy/metrics: its expressions use existing metrics, and every panel and alert is described. Needs no engine."""

import os
import re
import shutil
import subprocess

import pytest
import yaml
from compose import COMPOSE, REPOSITORY, SERVICES
from metrics_files import (
    ADDED, DASHBOARD, ITS_OWN, METRICS, RULES, dashboard_expressions, documented, labels_in, metrics_in, names_in, panels,
    rule_expressions,
)

PORT = 9464
ALERTS = [rule for rule in RULES if "alert" in rule]
EXPRESSIONS = [*dashboard_expressions(), *rule_expressions()]


def of_each(pairs):
    return pytest.mark.parametrize(("name", "expression"), pairs, ids=[name for name, _ in pairs])


def of_each_panel():
    return pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])


def of_each_alert():
    return pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


def test_names_are_found_in_expressions():
    asked = 'sum by (service, le) (rate(a_bucket{x="up",y=~"b c"}[5m] offset 1h)) / on (z) b:c > bool 1e6 and absent(d) or vector(0)'
    assert names_in(asked) == {"a_bucket", "b:c", "d"}
    assert labels_in(asked) == {"service", "le", "x", "y", "z"}


@of_each(EXPRESSIONS)
def test_its_metrics_exist(name, expression):
    table = documented()
    metrics = metrics_in(expression) - ITS_OWN
    assert metrics <= set(table), f"{metrics - set(table)}: not in the table of docs/deploy.md"
    labels = labels_in(expression) - ADDED
    known = set().union(*(table[metric].labels for metric in metrics))
    assert labels <= known, f"none of {sorted(metrics)} has the labels {labels - known}"


@of_each(EXPRESSIONS)
def test_a_histogram_is_queried_by_its_series_and_a_counter_by_its_rate(name, expression):
    table = documented()
    for series in names_in(expression):
        if series in table:
            assert table[series].type != "histogram", f"{series} is no series by itself"
            if table[series].type == "counter":
                assert re.search(rf"(rate|increase)\({series}", expression), f"{series} only ever rises"


@of_each_panel()
def test_a_panel_is_described(panel):
    assert panel["title"] and len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"]
    for each in (panel, *panel["targets"]):
        assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all(target["legendFormat"] for target in panel["targets"])
    position = panel["gridPos"]
    assert position["x"] + position["w"] <= 24


def test_no_panel_covers_another():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)


def test_the_dashboard_shows_every_metric_except_two():
    shown = set().union(*(metrics_in(expression) for _, expression in dashboard_expressions()))
    assert set(documented()) - shown == {"target_info", "tokio_runtime_worker_parks_total"}


def test_the_project_s_own_figures_come_first():
    first = [panel["title"] for panel in panels() if panel["gridPos"]["y"] < 6]
    assert first[:2] == ["Spared", "Still avoidable"]


@of_each_alert()
def test_an_alert_has_a_severity_and_says_what_to_look_at(alert):
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert re.fullmatch(r"\d+[smh]", alert["for"])
    notes = alert["annotations"]
    assert notes["summary"] and len(notes["description"]) > 20
    titles = {panel["title"] for panel in panels()} | {"Targets"}  # the last one is a page of Prometheus
    assert set(re.findall(r'"([^"]+)"', notes["description"])) <= titles


@of_each_alert()
def test_an_alert_is_shown_to_fire(alert):
    tests = yaml.safe_load((METRICS / "alerts_test.yml").read_text())["tests"]
    samples = [sample["labels"] for test in tests for asked in test.get("promql_expr_test", []) for sample in asked["exp_samples"]]
    assert any(f'alertname="{alert["alert"]}",alertstate="firing"' in labels for labels in samples)


def test_every_replica_of_every_service_is_scraped():
    config = yaml.safe_load((METRICS / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    (by_name,) = job["dns_sd_configs"]
    assert sorted(by_name["names"]) == sorted(SERVICES)
    assert (by_name["type"], by_name["port"]) == ("A", PORT)
    assert config["rule_files"] == ["alerts.yml"] and config["global"]["scrape_interval"] == "5s"
    for name in SERVICES:
        environment = COMPOSE["services"][name]["environment"]
        assert environment["OTEL_METRICS_EXPORTER"] == "${OTEL_METRICS_EXPORTER:-prometheus}"
        assert environment["OTEL_EXPORTER_PROMETHEUS_HOST"] == "0.0.0.0"
        assert not any(str(PORT) in port for port in COMPOSE["services"][name].get("ports", [])), "for this network only"


def test_grafana_finds_its_files():
    grafana = COMPOSE["services"]["grafana"]
    (mount,) = grafana["volumes"]
    here, there, _ = mount.split(":")
    files = {path: path.replace(there, here) for path in (
        grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"], f"{there}/dashboards/provider.yml",
        f"{there}/datasources/prometheus.yml",
    )}
    for file in files.values():
        assert (REPOSITORY / file).is_file(), file
    (provider,) = yaml.safe_load((METRICS / "grafana/dashboards/provider.yml").read_text())["providers"]
    assert provider["options"]["path"] == f"{there}/dashboards"
    (source,) = yaml.safe_load((METRICS / "grafana/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090" and "prometheus" in COMPOSE["services"]


def test_viewers_are_optional_and_published_on_this_machine_only():
    for name in ("prometheus", "grafana"):
        service = COMPOSE["services"][name]
        assert service["profiles"] == ["metrics"]
        assert all(port.startswith("${FANOUT_BIND:-127.0.0.1}:") for port in service["ports"])
        assert re.fullmatch(r"\S+:\$\{\w+:-v?\d+\.\d+\.\d+\}", service["image"]), "an image is pinned"


def test_every_variable_is_in_the_example_with_its_default():
    compose = (REPOSITORY / "docker-compose.yml").read_text()
    example = (REPOSITORY / ".env.example").read_text()
    knobs = dict(re.findall(r"\$\{(\w+):?-([^}]*)\}", compose))
    named = dict(re.findall(r"^(\w+)=(\S*)", example, re.MULTILINE))
    assert named == knobs


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
    ids=" ".join,
)
def test_promtool_finds_nothing(arguments):
    promtool = shutil.which("promtool")
    if not promtool and os.environ.get("FANOUT_REQUIRE_PROMETHEUS") != "1":
        pytest.skip("there is no promtool: apt-get install prometheus")
    assert promtool, "FANOUT_REQUIRE_PROMETHEUS is set, and there is no promtool"
    done = subprocess.run([promtool, *arguments], cwd=METRICS, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
