"""The queries in deploy/metrics, and the metrics that docs/deploy.md documents."""

import json
import re
from typing import NamedTuple

import yaml
from fanout_up import REPOSITORY

METRICS = REPOSITORY / "deploy/metrics"
DASHBOARD = json.loads((METRICS / "grafana/dashboards/fanout.json").read_text())
RULES = [rule for group in yaml.safe_load((METRICS / "alerts.yml").read_text())["groups"] for rule in group["rules"]]

# The series that Prometheus creates itself, and the labels that it adds to every series.
ITS_OWN = {"up", "ALERTS"}
ADDED = {"job", "instance", "service", "le", "alertstate"}
HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


class Metric(NamedTuple):
    type: str
    labels: set[str]


def documented() -> dict[str, Metric]:
    """The table of metrics in docs/deploy.md, by name."""
    text = (REPOSITORY / "docs/deploy.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| (histogram|counter|gauge) \| ([^|]*) ?\|", text, re.MULTILINE)
    return {name: Metric(type_, set(re.findall(r"`([a-z_]+)`", labels))) for name, type_, labels in rows}


def panels() -> list[dict]:
    """The dashboard's panels without its rows."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def dashboard_expressions() -> list[tuple[str, str]]:
    """The expressions of the dashboard, each with the title of its panel."""
    asked = [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]
    return asked + [(each["name"], each["expr"]) for each in DASHBOARD["annotations"]["list"]]


def rule_expressions() -> list[tuple[str, str]]:
    """The expressions of the rules, each with the name of its rule."""
    return [(rule.get("record") or rule["alert"], rule["expr"]) for rule in RULES]


def names_in(expression: str) -> set[str]:
    """The names of the series in an expression."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])", bare)
    return set(words) - {"and", "or", "unless", "offset", "bool"}


def labels_in(expression: str) -> set[str]:
    """The labels that an expression selects or groups by."""
    selected = re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    grouped = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression)
    return {*selected, *(label.strip() for labels in grouped for label in labels.split(",") if label.strip())}


def metric_of(name: str) -> str:
    """The metric that a series belongs to."""
    return HISTOGRAM.sub("", name)


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression needs, including those behind recording rules."""
    recorded = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
    found = set()
    for name in names_in(expression):
        found |= metrics_in(recorded[name]) if name in recorded else {metric_of(name)}
    return found
