"""Checks that network policies name pods and ports that there are."""


def faults(documents):
    """Ports and pods that network policies name, and that there are not."""
    pods = [
        (it["spec"]["template"]["metadata"]["labels"], it["spec"]["template"]["spec"])
        for it in documents
        if it["kind"] in ("Deployment", "StatefulSet")
    ]
    for policy in (it for it in documents if it["kind"] == "NetworkPolicy"):
        name, spec = policy["metadata"]["name"], policy["spec"]
        own = chosen(pods, spec["podSelector"])
        if not own:
            yield f"NetworkPolicy {name} chooses no pod"
        for rule in spec.get("ingress", []):
            yield from (f"NetworkPolicy {name}: {it}" for it in unknown(own, rule))
            yield from (f"NetworkPolicy {name}: {it}" for it in nobody(pods, rule.get("from", [])))
        for rule in spec.get("egress", []):
            yield from (f"NetworkPolicy {name}: {it}" for it in nobody(pods, rule.get("to", [])))
            for peer in rule.get("to", []):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    reached = chosen(pods, peer["podSelector"])
                    yield from (f"NetworkPolicy {name}: {it}" for it in unknown(reached, rule))


def nobody(pods, peers):
    for peer in peers:
        if "podSelector" in peer and "namespaceSelector" not in peer and not chosen(pods, peer["podSelector"]):
            yield f"no pod is {peer['podSelector']}"


def unknown(pods, rule):
    """Ports by name that one of the pods does not have."""
    for port in (it["port"] for it in rule.get("ports", []) if isinstance(it.get("port"), str)):
        for labels, pod in pods:
            known = {it.get("name") for container in pod["containers"] for it in container.get("ports", [])}
            if port not in known:
                yield f"{labels.get('app.kubernetes.io/name')} has no port {port}"


def chosen(pods, selector):
    return [(labels, pod) for labels, pod in pods if matches(labels, selector)]


def matches(labels, selector):
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for term in selector.get("matchExpressions", []):
        if term["operator"] != "In":
            raise ValueError(f"the operator {term['operator']} is not known here")
        if labels.get(term["key"]) not in term["values"]:
            return False
    return True
