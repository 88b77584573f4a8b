"""The rendered manifests, and the settings that the services document themselves."""

import os
import re
import subprocess
from pathlib import Path

import yaml

COMPOSE = yaml.safe_load(Path("docker-compose.yml").read_text())
# Every service of ours that the compose file builds has to be in the cluster as well. The viewer does not: it keeps the
# traces of a laptop.
SERVICES = [
    name
    for name, service in COMPOSE["services"].items()
    if "build" in service and service["build"]["args"]["SERVICE"] == name
]
BACKENDS = [name for name in SERVICES if name != "gateway"]
PORT = 50051
FANOUT = os.environ.get("FANOUT", "target/debug/fanout")
RENDERED = Path(os.environ.get("RENDERED", "target/ci/kubernetes/rendered"))
NAME = "app.kubernetes.io/name"


class Overlay:
    """The documents of one rendered overlay."""

    def __init__(self, name, docs):
        self.name, self.docs = name, docs

    def all(self, kind):
        return [doc for doc in self.docs if doc["kind"] == kind]

    def get(self, kind, name):
        return next((doc for doc in self.all(kind) if doc["metadata"]["name"] == name), None)

    def config(self, name):
        return (self.get("ConfigMap", name) or {}).get("data", {})

    def pods(self):
        """Yields each Deployment's name, and the labels and spec of its pods."""
        for each in self.all("Deployment"):
            template = each["spec"]["template"]
            yield each["metadata"]["name"], template["metadata"]["labels"], template["spec"]

    def container(self, service):
        return self.get("Deployment", service)["spec"]["template"]["spec"]["containers"][0]

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
    """Returns the full name of a generated ConfigMap."""
    return next((each["metadata"]["name"] for each in overlay.all("ConfigMap") if each["metadata"]["name"].startswith(name)), "")


def environment(overlay, container):
    """Returns the container's variables, with the README's example for the secret."""
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


def arguments(overlay, container):
    """Returns the container's arguments with its variables filled in, as Kubernetes does it."""
    variables = environment(overlay, container)
    return [re.sub(r"\$\((\w+)\)", lambda found: variables.get(found[1], "missing"), each) for each in container["args"]]


def option(overlay, service, name):
    """Returns the value of a flag, "" if it has none, and None if it is not given."""
    for each in arguments(overlay, overlay.container(service)):
        flag, _, value = each.partition("=")
        if flag == f"--{name}":
            return value
    return None


def known_settings(service):
    """Returns the variables that `--help` names."""
    return set(re.findall(r"\[env: ([A-Z0-9_]+)", fanout(service, "--help").stdout))


def fanout(*arguments, **variables):
    return subprocess.run([FANOUT, *arguments], env=variables, capture_output=True, text=True, timeout=20)


def load(name):
    return Overlay(name, list(yaml.safe_load_all((RENDERED / f"{name}.yaml").read_text())))
