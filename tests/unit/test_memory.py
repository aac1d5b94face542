"""What one more resource takes in memory; the benchmark measures whole processes."""

import gc
import json
import tracemalloc
from typing import Any

from pinecone_token_operator.api.access_token import parse_resource
from pinecone_token_operator.controller.index import Index
from pinecone_token_operator.targets.target import read_target
from tests.support.builders import make_secret, raw_resource

_RESOURCES = 1000
_DEFAULTS = {"creationPolicy": "Owner", "deletionPolicy": "Delete", "template": {"type": "Opaque"}}
_REFERENCE = {"clientIDKey": "client_id", "clientSecretKey": "client_secret"}


def _resource(number: int) -> dict[str, Any]:
    """Return a resource as the API server sends it: with defaults, and with its own credentials."""
    name = f"resource-{number}"
    return raw_resource(
        {"name": name, "uid": f"8f0c1d9e-a5c2-4a0e-9f57-{number:012d}", "resourceVersion": "1"},
        credentialsSecretRef={"name": f"{name}-account", **_REFERENCE},
        target={"name": f"{name}-token", **_DEFAULTS},
        suspend=False,
    )


def _replies(first: int) -> list[tuple[str, str]]:
    """Return resources and their targets as text: each reply has strings of its own."""
    replies = []
    for number in range(first, first + _RESOURCES):
        resource = _resource(number)
        target = make_secret(parse_resource(resource))
        target["metadata"] |= {"name": f"resource-{number}-token", "uid": f"{number:036d}"}
        replies.append((json.dumps(resource), json.dumps(target)))
    return replies


def test_resource_and_its_target_take_less_than_3500_bytes() -> None:
    index, kept, used = Index(), [], []
    rounds = [_replies(0), _replies(_RESOURCES)]
    gc.collect()
    tracemalloc.start()
    try:
        for replies in rounds:
            before, _ = tracemalloc.get_traced_memory()
            for resource, target in replies:
                index.put(parse_resource(json.loads(resource)))
                kept.append(read_target(json.loads(target)).without_data())
            gc.collect()
            used.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    assert all(index.is_wanted(target.key) for target in kept)
    # In one of the rounds, the interpreter's own table of strings may have to grow.
    assert min(used) / _RESOURCES < 3500
