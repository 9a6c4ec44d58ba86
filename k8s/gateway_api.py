"""Checks rendered objects of the Gateway API, which Kubernetes does not have itself, against the definitions of
their kinds. Unknown fields are errors.

    gateway_api.py RENDERED-MANIFESTS DEFINITION...

Prints how many objects there were. Without a definition for one of them that is an error.
"""

import sys

import jsonschema
import yaml

GROUP = "gateway.networking.k8s.io/"


def strict(schema):
    """The schema, with unknown fields as errors."""
    if isinstance(schema, list):
        return [strict(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema and "type" in schema:
        schema["additionalProperties"] = False
    return schema


def schemas(paths):
    found = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            spec = yaml.safe_load(file)["spec"]
        for version in spec["versions"]:
            key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
            schema = strict(version["schema"]["openAPIV3Schema"])
            # Any object has more of it than the definition says.
            schema["properties"]["metadata"] = {"type": "object"}
            found[key] = schema
    return found


def main(path, definitions):
    with open(path, encoding="utf-8") as file:
        objects = [it for it in yaml.safe_load_all(file) if it["apiVersion"].startswith(GROUP)]
    known, faults = schemas(definitions), []
    for it in objects:
        name = f"{it['kind']} {it['metadata']['name']}"
        schema = known.get((it["apiVersion"], it["kind"]))
        if schema is None:
            faults.append(f"{name}: there is no definition of {it['apiVersion']}")
            continue
        errors = jsonschema.Draft202012Validator(schema).iter_errors(it)
        faults += [f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    print(len(objects))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
