"""Checks what docker-compose.yml promises: who can be reached, who can reach out, how much memory is taken, which the
Go program among them has to know, and which Redis stops short of, and that .env sets every variable.

    check-compose.py FILE...
"""

import re
import sys

import yaml

import compose_variables

# Networks beside `inner`, and why: a published port, or webhooks.
OUTSIDE = {"gateway": {"outer"}, "chat-admin": {"ticketing"}, "broker-bridge": {"webhooks"}}
PUBLISHED = {"gateway", "chat-admin"}

# Redis may use so much of its container's memory: the rest is for its fork and its allocator.
REDIS_SHARE = 2 / 3
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def merged(paths):
    """Services and networks of all files, as far as this looks at them."""
    services, networks = {}, {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
        for name, service in content.get("services", {}).items():
            merged_service = services.setdefault(name, {})
            environment = {**merged_service.get("environment", {}), **service.get("environment", {})}
            merged_service.update(service, environment=environment)
        networks.update(content.get("networks", {}))
    return services, networks


def defaults(text):
    """The text with each variable's default in its place."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def size(text):
    """Bytes of 640mb, 1g or 1024."""
    number, unit = re.fullmatch(r"(\d+)([kmg]?)b?", defaults(str(text)).lower()).groups()
    return int(number) * UNITS[unit]


def redis_faults(service):
    maximum = service.get("environment", {}).get("REDIS_MAXMEMORY")
    if not maximum or not 0 < size(maximum) <= REDIS_SHARE * size(service["mem_limit"]):
        yield f"redis may use {maximum}, which is not at most two thirds of its limit {service['mem_limit']}"


def faults(services, networks):
    yield from redis_faults(services["redis"])
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
    found = [*faults(services, networks), *garbage(services), *compose_variables.faults(services, paths)]
    for fault in found:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
