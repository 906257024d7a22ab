"""Where an address can be written: the fields of bodies, policies, upstreams and settings, as what serves them names them. Whoever writes a
field that nobody knows is told which ones there are, so a new one is found by itself."""

import json
import re

# Nothing is called so, nor nearly.
UNKNOWN = "zzzzzzzzzzzz"
ADDRESS, WORD = "http://127.0.0.1:9/x", "colour"
# What is called so is taken for an address, whatever its reader lets pass.
NAME = re.compile(r"(^|_)(url|uri|endpoint|issuer|host|address|server|upstream|srv|webhook|collector|proxy|control_plane)e?s?$")
# Of what routes have, too.
SHARED = ("upstream", "policies")


def known_fields(problems, pointer):
    """The fields that an unknown one is told about; None where there was no such problem."""
    for where, what in problems:
        if where == pointer and what.startswith(("unknown field", "unknown policy")):
            listed = re.search(r"expected one of (.*)$", what)
            return [name for name in listed.group(1).split(", ") if name] if listed else []
    return None


def written(ask, at, pointer, fields, probes=True):
    """The pointers of those of these fields that take an address, and of all below them, `*` for a place in a list.

    - `ask(document)`: the problems of a document, as pairs of a pointer and a text.
    - `at(values)`: the document that has these fields at `pointer`.
    - `probes`: whether fields are tried with an address; else only their names count.
    """
    return {re.sub(r"/\d+(?=/|$)", "/*", one) for one in Walk(ask, probes).below(at, pointer, fields)}


class Walk:
    def __init__(self, ask, probes):
        self.ask, self.probes = ask, probes

    def said(self, at, pointer, values):
        """What is wrong with each of these fields: asked at once, and alone where nothing was said, as some readers look at one only."""
        def problems(values):
            found = self.ask(at(values))
            return {name: [one for one in found if f"{one[0]}/".startswith(f"{pointer}/{name}/")] for name in values}

        together = problems(values)
        return {name: said or problems({name: values[name]})[name] for name, said in together.items()}

    def below(self, at, pointer, fields):
        lists, texts = [], {}
        for name, said in self.said(at, pointer, {name: {UNKNOWN: 1} for name in fields}).items():
            here = f"{pointer}/{name}"
            inner = known_fields(said, f"{here}/{UNKNOWN}")
            own = " ".join(what for where, what in said if where == here)
            if inner is not None:
                yield from self.below(lambda value, name=name: at({name: value}), here, inner)
            elif "expected a list" in own:
                lists.append(name)
            elif not re.search("expected (true|an integer|a duration)", own):
                # Names of the user's own, or one text.
                texts[name] = (lambda text: text) if own else (lambda text: {"name": text})
        for name, said in (self.said(at, pointer, {name: [{UNKNOWN: 1}] for name in lists}) if lists else {}).items():
            inner = known_fields(said, f"{pointer}/{name}/0/{UNKNOWN}")
            if inner is None:
                texts[name] = lambda text: [text]
            else:
                yield from self.below(lambda value, name=name: at({name: [value]}), f"{pointer}/{name}/0", inner)
        named = [name for name in texts if NAME.search(name)]
        yield from (f"{pointer}/{name}" for name in named)
        tried = {name: make for name, make in texts.items() if name not in named}
        if not self.probes or not tried:
            return
        taken = [name for name, said in self.said(at, pointer, {name: make(ADDRESS) for name, make in tried.items()}).items() if not said]
        if taken:
            for name, said in self.said(at, pointer, {name: tried[name](WORD) for name in taken}).items():
                if said:
                    yield f"{pointer}/{name}"


def in_definitions(admin, document):
    """Of what an import says to gateways, policies included."""
    def ask(body):
        answer = admin.request("POST", "/v1/tenants/acme/apis", {"name": "probe", "document": document, "authentication": "none", **body})
        assert answer.status in (400, 422), answer
        return [(one["pointer"], one["detail"]) for one in answer.json["errors"]]

    def upstream(values):
        # Something else is wrong each time: nothing is ever imported.
        return {"gateway": {"upstream": {"targets": [{"url": ADDRESS}], "retries": UNKNOWN, **values}}}

    def route(values):
        return {"upstream": ADDRESS, "gateway": {"routes": [{"path": "/orders", "cost": UNKNOWN, **values}]}}

    def policy(value):
        return {"upstream": ADDRESS, "policies": [value, {"mock": UNKNOWN}]}

    def version(values):
        return {**route({}), "gateway": {**route({})["gateway"], "version": values}}

    def fields(body, pointer):
        return known_fields(ask(body), pointer)

    found = written(ask, upstream, "/gateway/upstream", fields(upstream({UNKNOWN: 1}), f"/gateway/upstream/{UNKNOWN}"))
    found |= written(ask, version, "/gateway/version", fields(version({UNKNOWN: 1}), f"/gateway/version/{UNKNOWN}"))
    for kind in fields(policy({UNKNOWN: {}}), "/policies/0"):
        found |= written(ask, policy, "/policies/0", [kind])
    own = fields(route({UNKNOWN: 1}), f"/gateway/routes/0/{UNKNOWN}")
    for pointer in list(found):
        if pointer.startswith("/gateway/upstream") and "upstream" in own:
            found.add(pointer.replace("/gateway", "/gateway/routes/*", 1))
        if pointer.startswith("/policies") and "policies" in own:
            found.add(f"/gateway/routes/*{pointer}")
    return found | written(ask, route, "/gateway/routes/0", [name for name in own if name not in SHARED])


def in_settings(check, path):
    """Of `passerelle.yaml`. - Parameter check: what `passerelle config check` says of a file."""
    def ask(body):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(body, file)
        return re.findall(r"^\S+:\d+:\d+: (\S*): (.*)$", check(path), re.MULTILINE)

    return written(ask, lambda values: values, "", known_fields(ask({UNKNOWN: 1}), f"/{UNKNOWN}"), probes=False)


def in_bodies(openapi):
    """Of the bodies and queries of all operations, by the operation."""
    def strings(schema, pointer):
        for name, value in schema.get("properties", {}).items():
            yield from strings(value, f"{pointer}/{name}")
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                yield from strings(schema[key], f"{pointer}/*")
        for one in schema.get("anyOf", []) + schema.get("oneOf", []) + schema.get("allOf", []):
            yield from strings(one, pointer)
        if schema.get("type") == "string":
            yield pointer

    found = set()
    for item in openapi["paths"].values():
        for operation in item.values():
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            pointers = [*strings(schema, ""), *(f"?{one['name']}" for one in operation.get("parameters", []) if one["in"] == "query")]
            for pointer in pointers:
                name = pointer.lstrip("?").removesuffix("/*").rsplit("/", 1)[-1]
                if NAME.search(name):
                    found.add(f"{operation['operationId']} {pointer}")
    return found
