"""Checks that the rendered NATS keeps what the manifests promise of it: how it is evicted, what it may take, that its
disk has room for what it may store, that it can read its configuration again, and, where it is several servers, that
they find each other and that the log is stored on all of them.
"""

import re

NAME = "goch-nats"
UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "M": 10**6, "G": 10**9, "T": 10**12}


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
    yield from disk(documents, stateful_set)
    yield from configuration(documents, pod, server)
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
    return int(number) * UNITS[unit.removesuffix("B")]


# A block of a stream's files is written anew only when less than half of it is live.
FILES_PER_BYTE = 2


def disk(documents, stateful_set):
    """What broker-bridge lets log and buckets have, against what there is."""
    given = bridge(documents)
    defaults = {"LOG_MAX_BYTES": 6 * 2**30, "BUCKETS_MAX_BYTES": 2 * 2**30}
    limits = [int(given.get(name, default)) for name, default in defaults.items()]
    if min(limits) < 0:
        yield "LOG_MAX_BYTES or BUCKETS_MAX_BYTES is no limit: the disk could fill"
        return
    claims = {it["metadata"]["name"]: it["spec"] for it in stateful_set["volumeClaimTemplates"]}
    volume = size(claims["data"]["resources"]["requests"]["storage"])
    if volume < FILES_PER_BYTE * sum(limits):
        yield f"the volume has {volume} bytes, less than twice LOG_MAX_BYTES and BUCKETS_MAX_BYTES, {sum(limits)}"
    settings = next(it["data"] for it in documents if named(it, "ConfigMap"))
    [store] = re.findall(r"^\s*max_file_store: (\d+)$", settings["nats.conf"], re.MULTILINE)
    if int(store) < sum(limits):
        yield f"max_file_store is {store}, less than LOG_MAX_BYTES and BUCKETS_MAX_BYTES, {sum(limits)}"


def bridge(documents):
    """The variables of broker-bridge."""
    found = next(it for it in documents if it["kind"] == "Deployment" and it["metadata"]["name"] == "broker-bridge")
    [container] = found["spec"]["template"]["spec"]["containers"]
    maps = {it["metadata"]["name"]: it["data"] for it in documents if it["kind"] == "ConfigMap"}
    values = {}
    for source in container.get("envFrom", []):
        values.update(maps.get(source.get("configMapRef", {}).get("name"), {}))
    return values | variables(container)


def configuration(documents, pod, server):
    """Whether all of it can be read again, and what has it read is there."""
    flags = [it for it in server["command"] + server.get("args", []) if it.startswith("-")]
    if set(flags) - {"-c", "-P"}:
        yield f"the server is given {flags}: flags cannot be read again, and nothing can that is set beside them"
    watcher = next((it for it in pod["containers"] if it["name"] == "reload"), {})
    paths = [{it["mountPath"] for it in each.get("volumeMounts", [])} - {"/data"} for each in (server, watcher)]
    if paths[0] != paths[1]:
        yield f"the server sees {sorted(paths[0])}, and reload {sorted(paths[1])}"
    if bridge(documents)["NATS_URL"].startswith("tls://") and not any(
        "tls {" in it["data"].get("nats.conf", "") for it in documents if it["kind"] == "ConfigMap"
    ):
        yield "services speak TLS, and the server does not"


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
    replicas = bridge(documents).get("LOG_REPLICAS", "1")
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
