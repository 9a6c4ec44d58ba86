"""Checks what a schema cannot tell of rendered manifests:

- variables of containers that Kubernetes would leave as they are written: $(NAME) is replaced only if NAME
  stands earlier in the same list;
- network policies that let anything out to anybody, or name what there is not (policies_rendered.py);
- disruption budgets that keep a node from being drained while no pod is ready;
- pods that leave while they are still routed to, or are killed before they have left;
- threads that are as many as the node's cores;
- a Redis that does not stop short of its container's limit;
- what is promised of NATS, the size of its disk among it (nats_rendered.py).

    rendered.py RENDERED-MANIFESTS
"""

import re
import sys

import yaml

import nats_rendered
import policies_rendered

OURS = ["gateway", "chat-admin", "ingest-history", "broker-bridge"]

# Seconds that a process may take beyond SHUTDOWN_GRACE_SECONDS, and some for a node that is busy.
MARGIN = 10


def unresolved(document):
    """Variables that refer to others in vain."""
    pod = document.get("spec", {}).get("template", {}).get("spec", {})
    for container in pod.get("initContainers", []) + pod.get("containers", []):
        known = set()
        for variable in container.get("env", []):
            for name in re.findall(r"\$\((\w+)\)", variable.get("value", "")):
                if name not in known:
                    yield f"{variable['name']} refers to {name}, which does not stand before it"
            known.add(variable["name"])


def unbounded(document):
    """Ways out that do not say where to."""
    if document["kind"] == "NetworkPolicy":
        for rule in document["spec"].get("egress", []):
            if not rule.get("to"):
                yield "a rule lets pods reach anybody"


def undrainable(document):
    """Budgets that count on pods which are not ready: without NATS, none is."""
    if document["kind"] == "PodDisruptionBudget":
        if document["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield "unhealthyPodEvictionPolicy is not AlwaysAllow"


def pause(container):
    """Seconds that pass before a container is told to end."""
    hook = container.get("lifecycle", {}).get("preStop", {})
    if "sleep" in hook:
        return hook["sleep"]["seconds"]
    command = hook.get("exec", {}).get("command", [])
    return int(command[1]) if command[:1] == ["sleep"] else 0


def is_ours(document):
    """Whether it is a service of Goch, rather than a server that it uses."""
    return document["kind"] == "Deployment" and document["metadata"]["name"] in OURS


def abrupt(documents):
    """Pods that close their port while they are routed to, or have no time to finish."""
    routed = [
        document["spec"]["selector"].items()
        for document in documents
        if document["kind"] == "Service"
    ]
    maps = {
        document["metadata"]["name"]: document["data"]
        for document in documents
        if document["kind"] == "ConfigMap"
    }
    for document in filter(is_ours, documents):
        template = document["spec"]["template"]
        labels, pod = template["metadata"]["labels"].items(), template["spec"]
        [container] = pod["containers"]
        before = pause(container)
        name = document["metadata"]["name"]
        if any(selector <= labels for selector in routed) and not before:
            yield f"Deployment {name}: it is routed to, and has no preStop that sleeps"
        variables = {}
        for source in container.get("envFrom", []):
            variables.update(maps.get(source.get("configMapRef", {}).get("name"), {}))
        variables.update({each["name"]: each.get("value") for each in container.get("env", [])})
        needed = before + int(variables["SHUTDOWN_GRACE_SECONDS"]) + MARGIN
        if pod.get("terminationGracePeriodSeconds", 30) < needed:
            yield f"Deployment {name}: terminationGracePeriodSeconds is less than {needed}"


def unbridled(document):
    """Threads by the node's cores."""
    if not is_ours(document):
        return
    [container] = document["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each for each in container.get("env", [])}
    if document["metadata"]["name"] != "gateway":
        if not variables.get("TOKIO_WORKER_THREADS", {}).get("value"):
            yield "TOKIO_WORKER_THREADS is not set"
        return
    source = variables.get("CPU_REQUEST", {}).get("valueFrom", {}).get("resourceFieldRef", {})
    if not variables.get("WORKERS", {}).get("value") and source.get("resource") != "requests.cpu":
        yield "neither WORKERS is set, nor CPU_REQUEST to requests.cpu"
    if "memory" not in container.get("resources", {}).get("limits", {}):
        yield "there is no memory limit, by which it would know how many sockets it may have"


# Redis may use so much of its container's memory: the rest is for its fork and its allocator.
REDIS_SHARE = 2 / 3
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def size(text):
    """Bytes of what Redis writes as 640mb and Kubernetes as 640Mi."""
    number, unit = re.fullmatch(r"(\d+)([kmg]?)[ib]?", text.lower()).groups()
    return int(number) * UNITS[unit]


def overfull(document):
    """A Redis that may be killed for its memory."""
    pod = document.get("spec", {}).get("template", {}).get("spec", {})
    for container in pod.get("containers", []):
        if container["name"] != "redis":
            continue
        values = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
        maximum = values.get("REDIS_MAXMEMORY")
        limit = container["resources"]["limits"]["memory"]
        if not maximum or not 0 < size(maximum) <= REDIS_SHARE * size(limit):
            yield f"REDIS_MAXMEMORY {maximum} is not at most two thirds of the limit {limit}"


def main(path):
    with open(path, encoding="utf-8") as file:
        documents = list(yaml.safe_load_all(file))
    found = [
        f"{document['kind']} {document['metadata']['name']}: {fault}"
        for document in documents
        for look in (unresolved, unbounded, undrainable, unbridled, overfull)
        for fault in look(document)
    ]
    found += abrupt(documents)
    found += nats_rendered.faults(documents)
    found += policies_rendered.faults(documents)
    for fault in found:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
