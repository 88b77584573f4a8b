"""The rendered manifests, and what the services say of themselves."""

import os
import re
import subprocess
from pathlib import Path

import yaml

SERVICES = {"gateway": 50051, "user-service": 50052, "country-service": 50053}
FANOUT = os.environ.get("FANOUT", "target/debug/fanout")
RENDERED = Path(os.environ.get("RENDERED", "target/ci/kubernetes/rendered"))
NAME = "app.kubernetes.io/name"


class Overlay:
    """The documents of one rendering."""

    def __init__(self, name, docs):
        self.name, self.docs = name, docs

    def all(self, kind):
        return [doc for doc in self.docs if doc["kind"] == kind]

    def get(self, kind, name):
        return next((doc for doc in self.all(kind) if doc["metadata"]["name"] == name), None)

    def config(self, name):
        return (self.get("ConfigMap", name) or {}).get("data", {})

    def pods(self):
        """Each Deployment's name, and its pods' labels and spec."""
        for each in self.all("Deployment"):
            template = each["spec"]["template"]
            yield each["metadata"]["name"], template["metadata"]["labels"], template["spec"]

    def services(self):
        for name, labels, spec in self.pods():
            if name in SERVICES:
                yield name, labels, spec["containers"][0]


def selects(selector, labels):
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In", "the only operator that is used here"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def prefix(service):
    return service.upper().replace("-", "_")


def generated(overlay, name):
    """The full name of a generated ConfigMap."""
    return next((each["metadata"]["name"] for each in overlay.all("ConfigMap") if each["metadata"]["name"].startswith(name)), "")


def environment(overlay, container):
    """The container's variables. Of the secret, what the README puts there."""
    variables = {}
    for source in container.get("envFrom", []):
        variables |= overlay.config(source["configMapRef"]["name"]) or {source["configMapRef"]["name"]: "missing"}
    for each in container["env"]:
        match each.get("valueFrom", {}):
            case {"configMapKeyRef": {"name": name, "key": key}}:
                variables[each["name"]] = overlay.config(name).get(key, "missing")
            case {"secretKeyRef": _}:
                variables[each["name"]] = "postgres://fanout:secret@192.0.2.10:5432/fanout"
            case {"fieldRef": _}:
                variables[each["name"]] = "field"
            case _:
                variables[each["name"]] = each["value"]
    return variables


def known_settings(service):
    """The variables that `--help` names."""
    return set(re.findall(r"\[env: ([A-Z0-9_]+)", fanout(service, "--help").stdout))


def fanout(*arguments, **variables):
    return subprocess.run([FANOUT, *arguments], env=variables, capture_output=True, text=True, timeout=20)


def load(name):
    return Overlay(name, list(yaml.safe_load_all((RENDERED / f"{name}.yaml").read_text())))
