"""The rules for the rendered manifests. Each rule takes an overlay and yields what is wrong with it. The services are
those of the compose file, their settings are those of `fanout <service> --help`.
"""

import re

from overlay import (
    BACKENDS, NAME, PORT, SERVICES, arguments, environment, fanout, generated, known_settings, option, prefix, selects,
)

EX_USAGE = 64
HEALTH_CHECK = [
    "/usr/local/bin/service", "healthcheck", f"--listen=[::]:{PORT}", "--tls-cert=/tls/tls.crt", "--tls-key=/tls/tls.key",
]
PER_SERVICE = {"laptop": ["Deployment", "Service"]}
PER_SERVICE["production"] = [*PER_SERVICE["laptop"], "HorizontalPodAutoscaler", "PodDisruptionBudget"]
EXPECTED = {
    overlay: {(kind, name) for kind in kinds for name in SERVICES}
    | {("Namespace", "fanout"), ("ConfigMap", "backends"), ("ConfigMap", "log"), ("ConfigMap", "telemetry")}
    | {("NetworkPolicy", name) for name in ("default-deny", "dns", "gateway", "backend", "metrics", "telemetry")}
    for overlay, kinds in PER_SERVICE.items()
}
EXPECTED["laptop"] |= {(kind, "jaeger") for kind in ("Deployment", "Service", "NetworkPolicy")}
EXPECTED["production"] |= {("NetworkPolicy", "database")}


def complete(overlay):
    """Everything that is expected is there, and nothing else, such as a Secret."""
    hash_suffix = re.compile(r"-[a-z0-9]{10}$")
    found = set()
    for doc in overlay.docs:
        name = doc["metadata"]["name"]
        found.add((doc["kind"], hash_suffix.sub("", name) if doc["kind"] == "ConfigMap" else name))
        if doc["kind"] != "Namespace" and doc["metadata"].get("namespace") != "fanout":
            yield f"{doc['kind']}/{name} is not in the namespace"
    for kind, name in EXPECTED[overlay.name] - found:
        yield f"{kind}/{name} is missing"
    for kind, name in found - EXPECTED[overlay.name]:
        yield f"{kind}/{name} is not expected"
    for mode in ("enforce", "audit", "warn"):
        if overlay.get("Namespace", "fanout")["metadata"]["labels"].get(f"pod-security.kubernetes.io/{mode}") != "restricted":
            yield f"the namespace does not {mode} the restricted profile"


def restricted(overlay):
    """Pods fit the restricted profile of the pod security standards, and have a read-only root."""
    for name, _, spec in overlay.pods():
        pod = spec.get("securityContext", {})
        if not pod.get("runAsNonRoot") or not pod.get("runAsUser"):
            yield f"{name} may run as root"
        if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name} has no seccomp profile"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name} gets a service account token"
        if spec.get("enableServiceLinks") is not False:
            yield f"{name} gets service links"
        if any(spec.get(host) for host in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name} shares the host's namespaces"
        for volume in spec.get("volumes", []):
            if set(volume) - {"name", "emptyDir", "configMap", "secret", "projected", "persistentVolumeClaim"}:
                yield f"{name} has a volume of a kind that is not allowed"
        for container in spec["containers"] + spec.get("initContainers", []):
            context = container.get("securityContext", {})
            if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
                yield f"{name} may gain privileges"
            if context.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{name} keeps capabilities"
            if context.get("readOnlyRootFilesystem") is not True:
                yield f"{name} may write to its root file system"
            if {"runAsUser", "runAsNonRoot", "seccompProfile"} & set(context):
                yield f"{name} has a container that overrides its pod's security context"
            if any("hostPort" in port for port in container["ports"]):
                yield f"{name} uses a port of the host"


def resourced(overlay):
    for name, _, spec in overlay.pods():
        for container in spec["containers"]:
            requests, limits = (container.get("resources", {}).get(part, {}) for part in ("requests", "limits"))
            if not {"cpu", "memory"} <= set(requests) or "memory" not in limits:
                yield f"{name} lacks requests or a memory limit"
            if "cpu" in limits:
                yield f"{name} has a CPU limit"


def images(overlay):
    for name, _, spec in overlay.pods():
        for container in spec["containers"]:
            image = container["image"]
            _, at, digest = image.partition("@")
            tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
            if not at and tag in ("", "latest"):
                yield f"{name} has no fixed image: {image}"
            if overlay.name == "production":
                if not at and not re.fullmatch(r"v?\d+\.\d+\.\d+\S*", tag):
                    yield f"{name} has no released image: {image}"
                if at and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
                    yield f"{name} has no digest: {image}"
            elif container.get("imagePullPolicy") != "IfNotPresent":
                yield f"{name} would be pulled"


def probed(overlay):
    """Health decides which pods get requests, and never which are restarted."""
    for name, _, spec in overlay.pods():
        container = spec["containers"][0]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe not in container:
                yield f"{name} has no {probe}"
                continue
            named = container[probe].get("tcpSocket", container[probe].get("httpGet", {})).get("port")
            if named is not None and named not in [port["name"] for port in container["ports"]]:
                yield f"{name} is probed on a port that it does not declare: {named}"
        if name not in SERVICES:
            continue
        if container.get("readinessProbe", {}).get("exec") != {"command": HEALTH_CHECK}:
            yield f"{name} gets requests without a health check"
        for probe in ("startupProbe", "livenessProbe"):
            if "tcpSocket" not in container.get(probe, {}):
                yield f"{name} is restarted by its {probe} while its database or a backend is down"


def drained(overlay):
    for name, _, spec in overlay.pods():
        if name not in SERVICES:
            continue
        container = spec["containers"][0]
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if sleep < 5:
            yield f"{name} is stopped while it still gets new connections"
        drain = option(overlay, name, "drain") or ""
        if not re.fullmatch(r"\d+s", drain):
            yield f"{name} states no drain in seconds"
        elif spec.get("terminationGracePeriodSeconds", 30) < sleep + int(drain[:-1]) + 10:
            yield f"{name} may be killed before it has drained"


def selected(overlay):
    """Selectors and names find their own pods and no others."""
    pods = {name: labels for name, labels, _ in overlay.pods()}
    for each in overlay.all("Deployment"):
        name, selector = each["metadata"]["name"], each["spec"]["selector"]
        if [pod for pod, labels in pods.items() if selects(selector, labels)] != [name]:
            yield f"Deployment/{name} does not select exactly its own pods"
    for kind in ("Service", "PodDisruptionBudget"):
        for each in overlay.all(kind):
            name, selector = each["metadata"]["name"], each["spec"]["selector"]
            selector = selector if kind == "PodDisruptionBudget" else {"matchLabels": selector}
            if [pod for pod, labels in pods.items() if selects(selector, labels)] != [name]:
                yield f"{kind}/{name} does not select exactly the pods of its name"
    for each in overlay.all("HorizontalPodAutoscaler"):
        name, spec = each["metadata"]["name"], each["spec"]
        if spec["scaleTargetRef"] != {"apiVersion": "apps/v1", "kind": "Deployment", "name": name} or name not in pods:
            yield f"HorizontalPodAutoscaler/{name} scales nothing of its name"
        elif "replicas" in overlay.get("Deployment", name)["spec"]:
            yield f"{name} has both an autoscaler and a fixed number of replicas"
        if spec["minReplicas"] < 2 or spec["maxReplicas"] <= spec["minReplicas"]:
            yield f"HorizontalPodAutoscaler/{name} has no range"
    for each in overlay.all("NetworkPolicy"):
        name, spec = each["metadata"]["name"], each["spec"]
        ends = [spec["podSelector"]]
        for rule in spec.get("ingress", []) + spec.get("egress", []):
            if "ports" not in rule or not rule.get("from", rule.get("to")):
                yield f"NetworkPolicy/{name} has a rule without peers or ports"
            ends += [peer["podSelector"] for peer in rule.get("from", rule.get("to", [])) if set(peer) == {"podSelector"}]
        for end in ends:
            if not any(selects(end, labels) for labels in pods.values()):
                yield f"NetworkPolicy/{name} selects pods that do not exist"
    for name, labels, spec in overlay.pods():
        for constraint in spec.get("topologySpreadConstraints", []):
            if not selects(constraint["labelSelector"], labels) or NAME not in constraint["matchLabelKeys"]:
                yield f"{name} is not spread separately from other services"
        spread = {constraint["topologyKey"] for constraint in spec.get("topologySpreadConstraints", [])}
        if overlay.name == "production" and spread != {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}:
            yield f"{name} is not spread over hosts and zones"


def connected(overlay):
    """The policies together allow these connections between our pods, and no others."""
    pods = {name: labels for name, labels, _ in overlay.pods()}
    ports = sorted({port["containerPort"] for _, _, spec in overlay.pods() for port in spec["containers"][0]["ports"]})
    wanted = {("gateway", name, PORT) for name in BACKENDS}
    if overlay.name == "laptop":
        wanted |= {(name, "jaeger", 4317) for name in SERVICES}

    def passes(direction, here, there, port):
        end, rules = ("from", "ingress") if direction == "Ingress" else ("to", "egress")
        policies = [each["spec"] for each in overlay.all("NetworkPolicy")]
        policies = [each for each in policies if direction in each["policyTypes"] and selects(each["podSelector"], pods[here])]
        return not policies or any(
            any(each["port"] == port for each in rule["ports"])
            and any(set(peer) == {"podSelector"} and selects(peer["podSelector"], pods[there]) for peer in rule[end])
            for policy in policies
            for rule in policy.get(rules, [])
        )

    for here in pods:
        for there in pods:
            for port in ports:
                open_ = passes("Egress", here, there, port) and passes("Ingress", there, here, port)
                if open_ != ((here, there, port) in wanted):
                    yield f"{here} {'reaches' if open_ else 'does not reach'} {there} on {port}"
    for each in overlay.all("NetworkPolicy"):
        for rule in each["spec"].get("egress", []):
            for peer in rule.get("to", []):
                if "ipBlock" in peer and (each["spec"]["podSelector"] != {"matchLabels": {NAME: "user-service"}} or rule["ports"] != [{"port": 5432}]):
                    yield f"NetworkPolicy/{each['metadata']['name']} lets another pod than the user service out, or to more than the database"
        for rule in each["spec"].get("ingress", []):
            for peer in rule["from"]:
                label = "fanout/metrics-scraper" if each["metadata"]["name"] == "metrics" else "fanout/gateway-client"
                if set(peer) != {"podSelector"} and label not in str(peer):
                    yield f"NetworkPolicy/{each['metadata']['name']} lets in clients without its label"
    if overlay.name == "production" and not any("ipBlock" in str(each) for each in overlay.all("NetworkPolicy")):
        yield "user-service does not reach its database"
    endpoint = overlay.config(generated(overlay, "telemetry")).get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    if not endpoint.endswith(":4317"):
        yield f"no policy allows the way to the collector: {endpoint!r}"


def ports(overlay):
    for name, _, container in overlay.services():
        declared = sorted((each["name"], each["containerPort"]) for each in container["ports"])
        if declared != [("grpc", PORT), ("metrics", 9464)]:
            yield f"{name} declares other ports than grpc on {PORT} and metrics on 9464"
        if option(overlay, name, "listen") != f"[::]:{PORT}":
            yield f"{name} does not listen on {PORT}"
        service = overlay.get("Service", name)["spec"]
        if [(each["port"], each["targetPort"]) for each in service["ports"]] != [(PORT, "grpc")]:
            yield f"Service/{name} does not lead to {PORT}"
        if (service.get("clusterIP") == "None") != (name != "gateway"):
            yield f"Service/{name} is headless but should not be, or the reverse"
    gateway = environment(overlay, overlay.container("gateway"))
    for name in BACKENDS:
        if gateway.get(prefix(name) + "_URL") != f"https://{name}:{PORT}":
            yield f"gateway has another URL for {name}"


def encrypted(overlay):
    """Everybody needs TLS, only the gateway gets into the backends, and each pod has its own key only."""
    for name, _, spec in overlay.pods():
        if name not in SERVICES:
            continue
        flag = lambda flag: option(overlay, name, flag)
        if (flag("tls-cert"), flag("tls-key")) != ("/tls/tls.crt", "/tls/tls.key") or flag("insecure") is not None:
            yield f"{name} serves without TLS"
        secrets = [volume["secret"]["secretName"] for volume in spec.get("volumes", []) if "secret" in volume]
        if secrets != [f"{name}-tls"]:
            yield f"{name} has another secret than its own: {secrets}"
        mounts = [each for each in spec["containers"][0].get("volumeMounts", []) if each["name"] == "tls"]
        if mounts != [{"name": "tls", "mountPath": "/tls", "readOnly": True}]:
            yield f"{name} does not find its certificate"
        if name == "gateway":
            if environment(overlay, spec["containers"][0]).get("GATEWAY_TLS_CA") != "/tls/ca.crt":
                yield "gateway trusts another authority than its backends'"
        elif (flag("tls-client-ca"), flag("allow-client")) != ("/tls/ca.crt", "spiffe://fanout/gateway"):
            yield f"{name} lets in others than the gateway"
        for port in overlay.get("Service", name)["spec"]["ports"]:
            if port.get("appProtocol") != "https":
                yield f"Service/{name} is said to be without TLS"


def measured(overlay):
    """Metrics are where the annotations say, and a policy lets Prometheus in."""
    wanted = {"prometheus.io/scrape": "true", "prometheus.io/port": "9464", "prometheus.io/path": "/metrics"}
    policy = overlay.get("NetworkPolicy", "metrics") or {"spec": {"podSelector": {"matchLabels": {"missing": ""}}}}
    for name, labels, container in overlay.services():
        template = overlay.get("Deployment", name)["spec"]["template"]
        if template["metadata"].get("annotations", {}) != wanted:
            yield f"{name} has no annotations for its metrics"
        set_ = environment(overlay, container)
        if set_.get("OTEL_METRICS_EXPORTER") != "prometheus" or set_.get("OTEL_EXPORTER_PROMETHEUS_HOST") != "::":
            yield f"{name} does not serve metrics"
        if "OTEL_EXPORTER_PROMETHEUS_PORT" in set_:
            yield f"{name} serves metrics on another port"
        if not selects(policy["spec"]["podSelector"], labels):
            yield f"{name} cannot be scraped by Prometheus"


def settings(overlay):
    """Each variable is a setting of its service, and the service accepts its variables and arguments."""
    for name, _, container in overlay.services():
        known = known_settings(name)
        assert len(known) > 4, f"{name} --help names hardly any settings"
        set_ = environment(overlay, container)
        used = set(re.findall(r"\$\((\w+)\)", " ".join([*set_.values(), *container["args"]])))
        for variable, value in set_.items():
            if variable not in known and not variable.startswith("OTEL_") and variable not in used:
                yield f"{name} has no setting {variable}"
            if value == "missing":
                yield f"{name} takes {variable} from something that does not exist"
        listed = [each["name"] for each in container["env"]]
        for each in container["env"]:
            for needed in re.findall(r"\$\((\w+)\)", each.get("value", "")):
                if needed not in listed[: listed.index(each["name"])]:
                    yield f"{name} uses {needed} in {each['name']} before it is set"
        ours = {variable: value for variable, value in set_.items() if variable in known}
        asked = fanout(name, *arguments(overlay, container), "healthcheck", **ours)
        if asked.returncode == EX_USAGE:
            yield f"{name} refuses its settings: {asked.stderr.strip()}"


def data(overlay):
    """Users are in the right database, and only the laptop has a simulated delay and reflection."""
    user = overlay.container("user-service")
    url = next((each for each in user["env"] if each["name"] == "DATABASE_URL"), {})
    if overlay.name == "production" and url.get("valueFrom") != {"secretKeyRef": {"name": "user-database", "key": "url"}}:
        yield "DATABASE_URL does not come from the secret only"
    if overlay.name == "laptop" and not url.get("value", "").startswith("sqlite:/data/"):
        yield "DATABASE_URL is not a file on the volume"
    allowed = "" if overlay.name == "laptop" else None
    if option(overlay, "gateway", "allow-overrides") != allowed:
        yield "gateway does not treat overrides as the backends do"
    for name in ("gateway", *BACKENDS):
        if option(overlay, name, "reflection") != allowed:
            yield f"{name} has reflection, or the laptop has none"
    for name in BACKENDS:
        wanted = ("3s", "") if overlay.name == "laptop" else ("0", None)
        if (option(overlay, name, "delay"), option(overlay, name, "allow-overrides")) != wanted:
            yield f"{name} has another delay than {wanted[0]}, or lets requests change it"


RULES = [complete, restricted, resourced, images, probed, drained, selected, connected, ports, encrypted, measured, settings, data]
