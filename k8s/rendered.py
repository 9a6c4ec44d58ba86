"""Checks what a schema cannot tell of rendered manifests:

- variables of containers that Kubernetes would leave as they are written: $(NAME) is replaced only if NAME
  stands earlier in the same list;
- network policies that let anything out to anybody;
- a Redis that does not stop short of its container's limit.

    rendered.py RENDERED-MANIFESTS
"""

import re
import sys

import yaml


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
        for look in (unresolved, unbounded, overfull)
        for fault in look(document)
    ]
    for fault in found:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
