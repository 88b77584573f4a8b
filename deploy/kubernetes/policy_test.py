"""Both overlays follow the rules, and each rule finds what breaks it. Run by validate.sh, which renders the overlays."""

import copy
from pathlib import Path

import pytest
import yaml

from overlay import NAME, generated, load
from rules import (
    RULES, complete, connected, data, drained, encrypted, images, measured, ports, probed, resourced, restricted, selected, settings,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", ["laptop", "production"])
def test_overlay(name, rule):
    assert list(rule(load(name))) == []


def test_the_certificates_of_cert_manager_are_those_that_the_pods_take():
    documents = list(yaml.safe_load_all(Path("deploy/kubernetes/cert-manager.yaml").read_text()))
    issuers = {each["metadata"]["name"] for each in documents if each["kind"] == "Issuer"}
    certificates = {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] == "Certificate"}
    assert all(each["metadata"]["namespace"] == "fanout" for each in documents)
    assert all(each["issuerRef"]["name"] in issuers for each in certificates.values())
    assert certificates.pop("fanout-ca")["isCA"] is True
    for name, spec in certificates.items():
        overlay = load("production")
        (secret,) = [volume["secret"]["secretName"] for volume in pod(overlay, name)["volumes"] if "secret" in volume]
        assert spec["secretName"] == secret
        assert spec["uris"] == [f"spiffe://fanout/{name}"]
        assert {name, f"{name}.fanout.svc.cluster.local"} <= set(spec["dnsNames"])
        assert {"server auth", "client auth"} <= set(spec["usages"])
    assert {"gateway", "user-service", "country-service"} <= set(certificates)


def pod(overlay, name="gateway"):
    return overlay.get("Deployment", name)["spec"]["template"]["spec"]


def variable(overlay, service, name):
    return next(each for each in pod(overlay, service)["containers"][0]["env"] if each["name"] == name)


def argument(overlay, service, old, new):
    """Replaces an argument, in a list of its own: the rendered documents may share one."""
    container = pod(overlay, service)["containers"][0]
    container["args"] = [new if each == old else each for each in container["args"]]


def drop(overlay, kind, name):
    overlay.docs.remove(overlay.get(kind, name))


def policy(overlay, name):
    return overlay.get("NetworkPolicy", name)["spec"]


def open_backends(overlay):
    """Allows a connection at both ends, which is what it takes."""
    policy(overlay, "backend")["ingress"][0]["from"].append({"podSelector": {}})
    policy(overlay, "dns")["egress"].append({"to": [{"podSelector": {}}], "ports": [{"port": 50051}]})


def url(overlay, value):
    overlay.config(generated(overlay, "backends")).update(USER_SERVICE_URL=value)


# Mistakes in the production overlay, and what a rule has to say about each.
MISTAKES = [
    (complete, lambda o: drop(o, "PodDisruptionBudget", "gateway"), "PodDisruptionBudget/gateway is missing"),
    (complete, lambda o: o.docs.append({"kind": "Secret", "metadata": {"name": "s", "namespace": "fanout"}}), "Secret/s is not expected"),
    (restricted, lambda o: pod(o)["securityContext"].update(runAsNonRoot=False), "gateway may run as root"),
    (restricted, lambda o: pod(o).pop("enableServiceLinks"), "gateway gets service links"),
    (restricted, lambda o: pod(o)["containers"][0]["securityContext"].pop("readOnlyRootFilesystem"), "gateway may write to its root"),
    (restricted, lambda o: pod(o)["containers"][0]["securityContext"]["capabilities"].update(add=["NET_RAW"]), "keeps capabilities"),
    (resourced, lambda o: pod(o)["containers"][0]["resources"].pop("limits"), "gateway lacks"),
    (images, lambda o: pod(o)["containers"][0].update(image="fanout/gateway"), "no fixed image"),
    (images, lambda o: pod(o)["containers"][0].update(image="host:5000/gateway:latest"), "no fixed image"),
    (images, lambda o: pod(o)["containers"][0].update(image="fanout/gateway:dev"), "no released image"),
    (probed, lambda o: pod(o)["containers"][0].pop("readinessProbe"), "no readinessProbe"),
    (probed, lambda o: pod(o)["containers"][0].update(livenessProbe={"grpc": {"port": 50051}}), "restarted by its livenessProbe"),
    (drained, lambda o: pod(o, "user-service").update(terminationGracePeriodSeconds=40), "killed before it has drained"),
    (drained, lambda o: pod(o)["containers"][0].pop("lifecycle"), "is stopped while"),
    (selected, lambda o: o.get("Service", "user-service")["spec"].update(selector={NAME: "users"}), "Service/user-service does not select"),
    (selected, lambda o: o.get("Deployment", "gateway")["spec"].update(replicas=3), "both an autoscaler and"),
    (selected, lambda o: policy(o, "backend")["ingress"][0]["from"][0]["podSelector"]["matchLabels"].update({NAME: "gate"}), "pods that do not exist"),
    (complete, lambda o: drop(o, "NetworkPolicy", "default-deny"), "NetworkPolicy/default-deny is missing"),
    (connected, open_backends, "user-service reaches country-service on 50051"),
    (connected, lambda o: policy(o, "gateway")["ingress"][0]["from"].append({"namespaceSelector": {}}), "lets in clients without its label"),
    (connected, lambda o: policy(o, "gateway")["egress"][0]["ports"][0].update(port=50053), "gateway does not reach user-service"),
    (connected, lambda o: policy(o, "database").update(podSelector={}), "lets another pod than the user service out"),
    (ports, lambda o: o.get("Service", "gateway")["spec"]["ports"][0].update(targetPort=50052), "Service/gateway does not lead"),
    (ports, lambda o: url(o, "https://users:50051"), "another URL for user-service"),
    (ports, lambda o: url(o, "http://user-service:50051"), "another URL for user-service"),
    (encrypted, lambda o: argument(o, "gateway", "--tls-cert=/tls/tls.crt", "--insecure"), "gateway serves without TLS"),
    (encrypted, lambda o: argument(o, "user-service", "--allow-client=spiffe://fanout/gateway", "--allow-client=gateway"), "lets in others"),
    (encrypted, lambda o: pod(o, "user-service")["volumes"][0]["secret"].update(secretName="gateway-tls"), "another secret than its own"),
    (encrypted, lambda o: pod(o)["containers"][0].pop("volumeMounts"), "gateway does not find its certificate"),
    (encrypted, lambda o: variable(o, "gateway", "GATEWAY_TLS_CA").update(value="/etc/ca.crt"), "trusts another authority"),
    (encrypted, lambda o: o.get("Service", "gateway")["spec"]["ports"][0].update(appProtocol="kubernetes.io/h2c"), "without TLS"),
    (ports, lambda o: pod(o)["containers"][0]["ports"].pop(), "gateway declares other ports"),
    (connected, lambda o: policy(o, "metrics")["ingress"][0]["from"].append({"namespaceSelector": {}}), "metrics lets in clients without its label"),
    (measured, lambda o: o.get("Deployment", "gateway")["spec"]["template"]["metadata"].pop("annotations"), "gateway has no annotations for its metrics"),
    (measured, lambda o: variable(o, "user-service", "OTEL_METRICS_EXPORTER").update(value="none"), "user-service does not serve metrics"),
    (measured, lambda o: drop(o, "NetworkPolicy", "metrics"), "country-service cannot be scraped"),
    (ports, lambda o: argument(o, "user-service", "--listen=[::]:50051", "--listen=[::]:50052"), "user-service does not listen on"),
    (drained, lambda o: argument(o, "gateway", "--drain=10s", "--deadline=10s"), "gateway states no drain"),
    (settings, lambda o: variable(o, "gateway", "GATEWAY_MAX_IN_FLIGHT").update(name="GATEWAY_MOST"), "gateway has no setting GATEWAY_MOST"),
    (settings, lambda o: argument(o, "user-service", "--delay=0", "--delay=3 weeks"), "user-service refuses its settings"),
    (settings, lambda o: argument(o, "gateway", "--drain=10s", "--drain-time=10s"), "gateway refuses its settings"),
    (settings, lambda o: argument(o, "gateway", "--log=$(LOG_FILTER)", "--log=$(LOG_LEVEL)"), "gateway has no setting LOG_FILTER"),
    (settings, lambda o: pod(o, "gateway")["containers"][0]["envFrom"][1]["configMapRef"].update(name="logs"), "from something that does not exist"),
    (data, lambda o: argument(o, "country-service", "--delay=0", "--delay=3s"), "country-service has another delay"),
    (data, lambda o: argument(o, "gateway", "--listen=[::]:50051", "--allow-overrides"), "gateway does not treat overrides"),
    (data, lambda o: argument(o, "gateway", "--listen=[::]:50051", "--reflection"), "gateway has reflection"),
    (data, lambda o: variable(o, "user-service", "DATABASE_URL").update(value="sqlite:users.db", valueFrom=None), "from the secret"),
]


@pytest.mark.parametrize("rule, mistake, said", MISTAKES, ids=[f"{rule.__name__}-{said}" for rule, _, said in MISTAKES])
def test_a_mistake_is_found(rule, mistake, said):
    overlay = copy.deepcopy(load("production"))
    mistake(overlay)
    found = list(rule(overlay))
    assert any(said in each for each in found), found
