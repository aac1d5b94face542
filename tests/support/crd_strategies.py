"""Strategies for what the CRD takes, read from the CRD itself: its types, enums and patterns."""

import re
import string
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.support.repository import CRD

_CRD: dict[str, Any] = yaml.safe_load(CRD.read_text("utf-8"))
_SCHEMA: dict[str, Any] = _CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
SPEC: dict[str, Any] = _SCHEMA["properties"]["spec"]
STATUS: dict[str, Any] = _SCHEMA["properties"]["status"]

# What no type and no pattern says; the rules that do are the API server's to read.
_OWN_KEYS = ("access_token", "token_type", "expires_at")
_OWN_PREFIX = "pinecone.token-operator.dev/"
_DURATIONS = st.sampled_from(["1s", "24h", "10m", "1h30m", "90s", "0h0m30s"])
# The API server takes all of these for a date-time, and Python not every one.
TIMES = st.datetimes(timezones=st.none()).map(lambda moment: f"{moment.isoformat()}Z") | (
    st.sampled_from(
        [
            "2026-11-25T12:30:00Z",
            "2026-11-25t12:30:00.123456789z",
            "2026-11-25T12:30:00+14:00",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-12:00",
        ]
    )
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def valid(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return what the schema takes, as far as its types, enums and patterns say."""
    match schema:
        case {"properties": _}:
            found = _object(schema)
        case {"additionalProperties": _}:
            found = _map(schema)
        case {"enum": values}:
            found = st.sampled_from(values)
        case {"type": "array", "items": items}:
            found = st.lists(valid(items), max_size=3)
        case {"type": "boolean"}:
            found = st.booleans()
        case {"type": "integer"}:
            found = st.integers(schema.get("minimum", -(2**31)), 2**31 - 1)
        case _:
            found = _text(schema)
    return found


def mostly(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return objects of the right shape with anything at all in some of their fields."""
    if "properties" not in schema:
        return valid(schema) | anything
    fields = {name: mostly(inner) for name, inner in schema["properties"].items()}
    return st.fixed_dictionaries({}, optional=fields) | anything


def _object(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    fields = {name: valid(inner) for name, inner in schema["properties"].items()}
    required = {name: fields.pop(name) for name in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional=fields)


def _map(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    rules = " ".join(rule["rule"] for rule in schema.get("x-kubernetes-validations", ()))
    inner = schema["additionalProperties"]
    keys, values = _matching(rules, r"\bkey\.matches"), _matching(rules, r"self\[key\]\.matches")
    if keys is None:
        keys = st.text(string.ascii_lowercase, max_size=5)
    keys = keys.filter(lambda key: key not in _OWN_KEYS and not key.startswith(_OWN_PREFIX))
    return st.dictionaries(keys, valid(inner) if values is None else values, max_size=3)


def _text(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        return TIMES
    rules = " ".join(rule["rule"] for rule in schema.get("x-kubernetes-validations", ()))
    if "duration(self)" in rules:
        return _DURATIONS
    if "pattern" in schema:
        rules = f"self.matches('{schema['pattern']}')"
    most = schema.get("maxLength", 100)
    found = _matching(rules, r"self\.matches")
    if found is not None:
        return found.filter(lambda text: len(text) <= most)
    return st.text(min_size=schema.get("minLength", 0), max_size=min(most, 40))


def _matching(rules: str, call: str) -> st.SearchStrategy[str] | None:
    found = re.search(call + r"\('\^(.*?)\$'\)", rules)
    return st.from_regex(rf"\A(?:{found[1]})\Z") if found else None
