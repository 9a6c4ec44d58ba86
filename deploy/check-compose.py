"""Checks what docker-compose.yml promises: who can be reached, who can reach out, and how much memory is taken,
which the Go program among them has to know.

    check-compose.py FILE...
"""

import re
import sys

import yaml

# Networks beside `inner`, and why: a published port, or webhooks.
OUTSIDE = {"gateway": {"outer"}, "chat-admin": {"ticketing"}, "broker-bridge": {"webhooks"}}
PUBLISHED = {"gateway", "chat-admin"}


def merged(paths):
    """Services and networks of all files, as far as this looks at them."""
    services, networks = {}, {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
        for name, service in content.get("services", {}).items():
            services.setdefault(name, {}).update(service)
        networks.update(content.get("networks", {}))
    return services, networks


def defaults(text):
    """The text with each variable's default in its place."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def faults(services, networks):
    if not networks.get("inner", {}).get("internal"):
        yield "the network inner has a way out"
    for name, service in services.items():
        if "mem_limit" not in service:
            yield f"{name} may take all memory"
        wanted = {"inner"} | OUTSIDE.get(name, set())
        if set(service.get("networks", [])) != wanted:
            yield f"{name} is not in the networks {sorted(wanted)} alone"
        ports = service.get("ports", [])
        if ports and name not in PUBLISHED:
            yield f"{name} is published"
        for port in map(defaults, ports):
            if not port.startswith("127.0.0.1:"):
                yield f"{name} is published at {port}"


def megabytes(text):
    """Of `1g`, `256m` or `900MiB`."""
    number, unit = re.fullmatch(r"(\d+)([mgMG])(?:iB)?", text).groups()
    return int(number) * (1024 if unit in "gG" else 1)


def garbage(services):
    """Whether NATS collects its garbage before it is killed for it."""
    nats = services["nats"]
    limit = nats.get("environment", {}).get("GOMEMLIMIT")
    share = megabytes(limit) / megabytes(nats["mem_limit"]) if limit else 0
    if not 0.8 <= share <= 0.9:
        yield f"GOMEMLIMIT of nats is {share:.0%} of its memory, and not 80 to 90"


def main(paths):
    services, networks = merged(paths)
    found = [*faults(services, networks), *garbage(services)]
    for fault in found:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
