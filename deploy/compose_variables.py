"""Whether one file, .env, sets every variable of every service in compose: docs/operations.md says what variables there
are, and the compose files and .env.example must have the same ones, with the same defaults. Of check-compose.py.
"""

import re

DOCS = "docs/operations.md"
EXAMPLE = ".env.example"
SCRIPT = "deploy/compose-secrets.sh"

SERVICES = {"gateway", "chat-admin", "ingest-history", "broker-bridge"}
# Headings of the docs under which variables of more or other services stand than the one they name.
READERS = {
    "All services": SERVICES,
    "Webhooks": {"broker-bridge"},
    "Limits": {"gateway", "chat-admin"},
    "Tokens": {"gateway"},
    "At the edge": {"gateway"},
}
# Compose publishes ports by variables of its own.
FIXED = {"LISTEN_ADDRESS", "HEALTH_ADDRESS"}
# What .env calls a variable that has another value for each service.
NAMES = {
    ("gateway", "ADDRESS_CONNECTIONS_MAX"): "GATEWAY_ADDRESS_CONNECTIONS_MAX",
    ("chat-admin", "ADDRESS_CONNECTIONS_MAX"): "ADMIN_ADDRESS_CONNECTIONS_MAX",
    ("chat-admin", "REDIS_URL"): "ADMIN_REDIS_URL",
    ("ingest-history", "REDIS_URL"): "HISTORY_REDIS_URL",
}
# Of all services: compose reads its own environment first, and there these are the nats command line's.
NAMES_OF_ALL = {name: f"GOCH_{name}" for name in ("NATS_URL", "NATS_USER", "NATS_PASSWORD")}
# Of Rust, and not in a table.
BESIDES = {"RUST_BACKTRACE"}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def documented(text):
    """(service, variable, default or None) of each variable in the tables of the docs."""
    heading, in_table = "", False
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            in_table = False
            continue
        first, default = (cell.strip() for cell in line.split("|")[1:3])
        if first in ("variable", "variables"):
            in_table = True
        elif in_table:
            names = re.findall(r"`([A-Z_]+)`", first)
            # Plain ones only: some depend on the machine, and some are other variables.
            values = [re.fullmatch(r"`?([a-z0-9_:.]+|[\d,]+)`?", value) for value in default.split(", ")]
            if len(values) != len(names):
                values = [None] * len(names)
            for service in READERS.get(heading, {heading}):
                for name, value in zip(names, values):
                    yield service, name, value and value[1]


def example(text):
    """Name and value of each line with a variable, and the names that are to be filled in."""
    lines = re.findall(r"^(#?)([A-Z_]+)=(.*)$", text, re.MULTILINE)
    values = {name: value for _, name, value in lines}
    return values, {name for comment, name, _ in lines if not comment}


def faults(services, paths):
    """What is wrong, a sentence each."""
    values, to_fill_in = example(read(EXAMPLE))
    known = list(documented(read(DOCS)))
    if {service for service, _, _ in known} != SERVICES:
        yield f"the tables of {DOCS} are not understood"
    for service, name, default in known:
        if name in FIXED:
            continue
        setting = str(services[service]["environment"].get(name, ""))
        wanted = NAMES.get((service, name), NAMES_OF_ALL.get(name, name))
        if not re.match(r"\$\{" + wanted + r"\b", setting):
            yield f"{service}: {name} does not come from {wanted} of .env, but is {setting!r}"
        if wanted not in values:
            yield f"{EXAMPLE} has no {wanted}"
        elif default not in (None, "none", "required") and values[wanted] != default:
            yield f"{EXAMPLE} says {wanted}={values[wanted]}, and {DOCS} {default}"
    for service in SERVICES:
        own = {name for reader, name, _ in known if reader == service} | BESIDES
        for name in set(services[service]["environment"]) - own:
            yield f"{service} is given {name}, which {DOCS} does not say it reads"

    used, demanded = set(), set()
    for text in map(read, paths):
        used |= set(re.findall(r"\$\{(\w+)", text))
        demanded |= set(re.findall(r"\$\{(\w+):?\?run " + SCRIPT, text))
    for name in used - set(values):
        yield f"{EXAMPLE} has no {name}, which compose reads"
    for name in set(values) - used:
        if not name.startswith("COMPOSE_"):
            yield f"{EXAMPLE} has {name}, which compose does not read"
    made = set(re.search(r"^secrets='([^']*)'", read(SCRIPT), re.MULTILINE)[1].split())
    for name in made ^ to_fill_in | made ^ demanded:
        yield f"{name} is not a secret everywhere: {EXAMPLE}, {SCRIPT} and `?` in compose"
