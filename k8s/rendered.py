"""Checks what a schema cannot tell of rendered manifests:

- variables of containers that Kubernetes would leave as they are written: $(NAME) is replaced only if NAME
  stands earlier in the same list;
- network policies that let anything out to anybody, or name what there is not (policies_rendered.py);
- what is promised of NATS (nats_rendered.py).

    rendered.py RENDERED-MANIFESTS
"""

import re
import sys

import yaml

import nats_rendered
import policies_rendered


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


def main(path):
    with open(path, encoding="utf-8") as file:
        documents = list(yaml.safe_load_all(file))
    found = [
        f"{document['kind']} {document['metadata']['name']}: {fault}"
        for document in documents
        for look in (unresolved, unbounded)
        for fault in look(document)
    ]
    found += nats_rendered.faults(documents)
    found += policies_rendered.faults(documents)
    for fault in found:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
