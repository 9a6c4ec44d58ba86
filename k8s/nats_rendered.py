"""Checks that the rendered NATS keeps what the manifests promise of it: how it is evicted, what it may take, and,
where it is several servers, that they find each other and that the log is stored on all of them.
"""

import re

NAME = "goch-nats"
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def faults(documents):
    """What is wrong with NATS, in all documents of an overlay."""
    found = [it for it in documents if named(it, "StatefulSet")]
    if len(found) != 1:
        yield f"there are {len(found)} StatefulSets {NAME}"
        return
    stateful_set = found[0]["spec"]
    pod = stateful_set["template"]["spec"]
    server = next(it for it in pod["containers"] if it["name"] == "nats")
    yield from eviction(documents)
    yield from resources(pod, server)
    if stateful_set["replicas"] > 1:
        yield from cluster(documents, stateful_set, server)


def named(document, kind):
    return document["kind"] == kind and document["metadata"]["name"] == NAME


def variables(container):
    return {it["name"]: it.get("value", "") for it in container.get("env", [])}


def eviction(documents):
    budget = next((it["spec"] for it in documents if named(it, "PodDisruptionBudget")), None)
    if not budget or budget.get("maxUnavailable") != 1:
        yield "no PodDisruptionBudget with maxUnavailable 1"
    elif budget.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
        yield "a server that is not ready keeps its node from being drained"


def resources(pod, server):
    for container in pod["containers"] + pod.get("initContainers", []):
        given = container["resources"]
        if set(given.get("limits", {})) != {"cpu", "memory"} or given["limits"] != given.get("requests"):
            yield f"{container['name']} has other requests than limits: the pod is not Guaranteed"
    limit = size(server["resources"]["limits"]["memory"])
    share = size(variables(server).get("GOMEMLIMIT", "0")) / limit
    if not 0.8 <= share <= 0.9:
        yield f"GOMEMLIMIT is {share:.0%} of the memory, and not 80 to 90"


def size(text):
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]*)", text).groups()
    return int(number) * UNITS.get(unit, 1)


def cluster(documents, stateful_set, server):
    """Of several servers."""
    count = stateful_set["replicas"]
    hosts = [f"{NAME}-{number}.{stateful_set['serviceName']}" for number in range(count)]
    routes = [value for name, value in variables(server).items() if name.startswith("NATS_ROUTE_")]
    routes = sorted(re.sub(r"^.*@|:6222$", "", it) for it in routes if it.startswith("nats-route://"))
    if routes != hosts:
        yield f"the routes name {routes}, and not {hosts}"
    settings = next(it for it in documents if it["kind"] == "ConfigMap" and named(it, "ConfigMap"))
    text = settings["data"]["cluster.conf"]
    if [f"$NATS_ROUTE_{number}" for number in range(count)] != re.findall(r"\$NATS_ROUTE_\d", text):
        yield "cluster.conf has other routes"
    if "/etc/nats/cluster.conf" not in server["command"]:
        yield "the servers do not read cluster.conf"
    bridge = next(it for it in documents if it["kind"] == "Deployment" and it["metadata"]["name"] == "broker-bridge")
    containers = bridge["spec"]["template"]["spec"]["containers"]
    replicas = variables(containers[0]).get("LOG_REPLICAS", "1")
    if replicas != str(count):
        yield f"LOG_REPLICAS is {replicas}, and there are {count} servers"
    common = [it["data"] for it in documents if it["kind"] == "ConfigMap" and "NATS_URL" in it.get("data", {})]
    for host in hosts:
        if not all(f"//{host}:4222" in it["NATS_URL"] for it in common):
            yield f"NATS_URL does not name {host}"
    service = next(it["spec"] for it in documents if named(it, "Service"))
    if not service.get("publishNotReadyAddresses"):
        yield "servers that are not ready have no names, so none becomes ready"
    if stateful_set.get("podManagementPolicy") != "Parallel":
        yield "the first server waits alone"
    affinity = stateful_set["template"]["spec"].get("affinity", {}).get("podAntiAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", [])
    if not any(it["topologyKey"] == "kubernetes.io/hostname" for it in required):
        yield "two servers may be on one node"
    ready = server["readinessProbe"]["httpGet"]["path"]
    if "only" in ready:
        yield f"a server is ready, {ready}, before it has what the others have"
