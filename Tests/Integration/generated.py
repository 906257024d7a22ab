"""Values made from JSON Schemas, good and bad, from one seed; and a judge of what satisfies them.

The dialect is that of the platform's own routes (Sources/Services/REST/Routes/Route.swift): a keyword that this file does not know ends the
test, so that it learns with the platform.
"""

import datetime
import json
import re

KNOWN = {
    "type", "enum", "const", "properties", "required", "additionalProperties", "patternProperties", "propertyNames", "items", "minLength",
    "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "minimum", "maximum", "pattern", "format", "anyOf",
    "oneOf", "allOf", "not", "description", "$ref", "default", "title", "examples",
}
# What has broken parsers and pages before.
TEXTS = [
    "", " ", "a", "acme", "admin", "null", "0", "-1", "é", "日本", "😀", "\u202e", "\ufeff", "a\u0301", "'", "' OR '1'='1", "\"; DROP", "<script>",
    "../..", "..%2f", "%00", "%", "${x}", "{{x}}", "secret://x", "\u0000", "a\u0000b", "\r\nX: y", "\t", "\u007f", "http://127.0.0.1:1/",
    "https://[::1]", "2026-02-30T00:00:00Z", "2026-01-02T03:04:05Z", "*", "a:b:c", "*:*:*", "x" * 63, "x" * 64, "x" * 300, "\ud7ff\ue000",
]
NUMBERS = [0, 1, -1, 2, 7, 255, 65536, 2**31, 2**53, 2**63 - 1, -(2**63), 2**63, 10**30, 0.5, -0.0, 1e300]


class Maker:
    def __init__(self, random, words=()):
        """`words`: texts that mean something to the platform, such as identifiers."""
        self.random = random
        self.words = [*words]

    def text(self):
        return self.random.choice(self.words if self.words and self.random.random() < 0.5 else TEXTS)

    def anything(self, depth=0):
        choice = self.random.randrange(7 if depth < 3 else 5)
        if choice < 5:
            return [None, self.random.random() < 0.5, self.random.choice(NUMBERS), self.text(), self.text()][choice]
        if choice == 5:
            return [self.anything(depth + 1) for _ in range(self.random.randrange(3))]
        return {self.text(): self.anything(depth + 1) for _ in range(self.random.randrange(3))}

    def good(self, schema, name=""):
        """Something that satisfies the schema, as far as a pattern can be guessed."""
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if "anyOf" in schema:
            return self.good(self.random.choice(schema["anyOf"]), name)
        if "oneOf" in schema:
            return self.good(self.random.choice(schema["oneOf"]), name)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = self.random.choice(kind)
        if kind is None:
            return self.anything()
        return getattr(self, f"_{kind}")(schema, name)

    def _null(self, *_):
        return None

    def _boolean(self, *_):
        return self.random.random() < 0.5

    def _integer(self, schema, _):
        low, high = schema.get("minimum", -5), schema.get("maximum", 2**53)
        return self.random.choice([low, high, min(max(self.random.choice([0, 1, 2, 60, 3600]), low), high)])

    def _number(self, schema, _):
        low, high = schema.get("minimum", -5.0), schema.get("maximum", 1e9)
        return self.random.choice([low, high, (low + high) / 2])

    def _string(self, schema, name):
        low, high = schema.get("minLength", 0), schema.get("maxLength", 200)
        if schema.get("format") == "date-time":
            return self.random.choice(["2026-01-02T03:04:05Z", "2031-01-02T03:04:05.678Z", "1971-01-01T00:00:00+02:00"])
        fitting = [text for text in (*self.words, *TEXTS) if low <= len(text) <= high and fits(schema, text)]
        hints = [word for word in self.words if name and name.rstrip("s") in word and word in fitting]
        if hints and self.random.random() < 0.5:
            return self.random.choice(hints)
        if fitting and self.random.random() < 0.8:
            return self.random.choice(fitting)
        return "x" * self.random.choice([low, min(high, 10_000), min(max(low, 8), high)])

    def _array(self, schema, name):
        low, high = schema.get("minItems", 0), schema.get("maxItems", 5)
        return [self.good(schema.get("items", {}), name) for _ in range(self.random.randrange(low, min(high, low + 3) + 1))]

    def _object(self, schema, _):
        required = schema.get("required", [])
        made = {}
        for name, member in schema.get("properties", {}).items():
            if name in required or self.random.random() < 0.4:
                made[name] = self.good(member, name)
        more = schema.get("additionalProperties", True)
        if schema.get("minProperties", 0) > len(made):
            for name, member in list(schema.get("properties", {}).items())[:schema["minProperties"]]:
                made[name] = self.good(member, name)
        if isinstance(more, dict):
            names = schema.get("propertyNames", {"type": "string", "minLength": 1, "maxLength": 20})
            for _ in range(self.random.randrange(3)):
                made[self.good({"type": "string", **names})] = self.good(more)
        return made

    def spoilt(self, value):
        """The value with one thing changed somewhere in it: perhaps still good."""
        places = list(self._places(value, ()))
        place = self.random.choice(places)
        if not place:
            return self.anything()
        copy = json.loads(json.dumps(value))
        holder = copy
        for step in place[:-1]:
            holder = holder[step]
        verb = self.random.randrange(4)
        if verb == 0 and isinstance(holder, dict):
            del holder[place[-1]]
        elif verb == 1 and isinstance(holder, dict):
            holder[self.text() or "unknown"] = self.anything()
        elif verb == 2 and isinstance(holder[place[-1]], str):
            holder[place[-1]] = holder[place[-1]] * self.random.choice([2, 100, 5000]) or self.text()
        else:
            holder[place[-1]] = self.anything()
        return copy

    def _places(self, value, place):
        yield place
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, member in members:
            yield from self._places(member, (*place, key))

    def bytes(self, value):
        """JSON of a value, or something that is nearly that."""
        text = json.dumps(value).encode()
        verb = self.random.randrange(9)
        if verb == 0:
            return text[:self.random.randrange(len(text) + 1)]
        if verb == 1:
            return text + self.random.choice([b"x", b"{}", b"\x00", b"//"])
        if verb == 2:
            return b"[" * self.random.choice([65, 20_000])
        if verb == 3:
            return text.replace(b'"', b'"\xff', 1)
        if verb == 4:
            return text.replace(b'"', b'"\\ud800', 1)
        if verb == 5:
            return b'{"a":1,"a":2}'
        if verb == 6:
            return b"1e999999999"
        if verb == 7:
            return b'"' + b"x" * (2 << 20) + b'"'
        return b"\xef\xbb\xbf" + text


def fits(schema, text):
    return "pattern" not in schema or re.search(schema["pattern"], text) is not None


def problem(schema, value, components=None, place=""):
    """Why the value does not satisfy the schema; None when it does."""
    unknown = set(schema) - KNOWN
    if unknown:
        raise AssertionError(f"unknown keywords {unknown} at {place}")
    if "$ref" in schema:
        return problem(components[schema["$ref"].rsplit("/", 1)[-1]], value, components, place)
    if "const" in schema and not same(schema["const"], value):
        return f"{place}: not {schema['const']!r}"
    if "enum" in schema and not any(same(one, value) for one in schema["enum"]):
        return f"{place}: {value!r} is none of {schema['enum']}"
    if "anyOf" in schema:
        found = [problem(one, value, components, place) for one in schema["anyOf"]]
        if all(found):
            return found[0]
    for one in schema.get("allOf", []):
        found = problem(one, value, components, place)
        if found:
            return found
    if "oneOf" in schema and sum(problem(one, value, components, place) is None for one in schema["oneOf"]) != 1:
        return f"{place}: {value!r} is not one of {len(schema['oneOf'])}"
    if "not" in schema and problem(schema["not"], value, components, place) is None:
        return f"{place}: {value!r} is what it must not be"
    kinds = schema.get("type")
    if kinds is not None and not any(is_a(kind, value) for kind in (kinds if isinstance(kinds, list) else [kinds])):
        return f"{place}: {value!r} is no {kinds}"
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            return f"{place}: {len(value)} characters"
        if not fits(schema, value):
            return f"{place}: {value!r} does not match {schema['pattern']}"
        if schema.get("format") == "date-time" and not is_time(value):
            return f"{place}: {value!r} is no time"
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            return f"{place}: {value} is out of range"
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return f"{place}: {len(value)} items"
        for index, item in enumerate(value):
            found = problem(schema.get("items", {}), item, components, f"{place}/{index}")
            if found:
                return found
    elif isinstance(value, dict):
        return of_members(schema, value, components, place)
    return None


def of_members(schema, value, components, place):
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        return f"{place}: {len(value)} members"
    for name in schema.get("required", []):
        if name not in value:
            return f"{place}: {name} is missing"
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, member in value.items():
        rules = [rule for pattern, rule in patterns.items() if re.search(pattern, name)]
        if name in known:
            rules.append(known[name])
        if not rules:
            more = schema.get("additionalProperties", True)
            if more is False:
                return f"{place}: {name} is unknown"
            rules = [more] if isinstance(more, dict) else []
        if "propertyNames" in schema and problem(schema["propertyNames"], name, components, place):
            return f"{place}: {name!r} is no name"
        for rule in rules:
            found = problem(rule, member, components, f"{place}/{name}")
            if found:
                return found
    return None


def same(one, other):
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def is_a(kind, value):
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool) or isinstance(value, float) and value.is_integer()
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool, "null": type(None), "array": list, "object": dict}[kind])


def is_time(text):
    try:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).tzinfo is not None
    except ValueError:
        return False
