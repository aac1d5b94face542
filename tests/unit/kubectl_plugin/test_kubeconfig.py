"""A kubeconfig is used or refused, whatever stands where something else should."""

import contextlib
import copy
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.errors import SettingsInvalid
from pinecone_token_operator.kubectl_plugin import api_server
from pinecone_token_operator.kubectl_plugin.kubeconfig import find_access

CLUSTER = {
    "server": "https://a",
    "insecure-skip-tls-verify": True,
    "tls-server-name": "b",
    "proxy-url": "http://proxy:3128",
    "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {}}],
}
PLUGIN = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": "echo",
    "args": ['{"status": {"token": "hunter2"}}'],
    "env": [{"name": "A", "value": "b"}],
    "provideClusterInfo": True,
    "installHint": "get it",
    "interactiveMode": "Never",
}
USERS: dict[str, dict[str, Any]] = {
    "token": {"token": "hunter2"},
    "file": {"tokenFile": "kubeconfig"},
    "password": {"username": "a", "password": "hunter2"},
    "certificate": {"client-certificate-data": "YQ==", "client-key-data": "YQ=="},
    "exec": {"exec": PLUGIN},
}
SOMETHING_ELSE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "a", "\0", "\n", "é", "none", "http://[", "https://a:x", "https://p"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=4,
)


def kubeconfig(user: str) -> dict[str, Any]:
    return {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a", "namespace": "a"}}],
        "clusters": [{"name": "a", "cluster": CLUSTER}],
        "users": [{"name": "a", "user": USERS[user]}],
    }


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a kubeconfig."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in pairs:
        yield (*path, key)
        if isinstance(each, dict | list):
            yield from places(each, (*path, key))


def use(config: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "kubeconfig")
        path.write_text(json.dumps(config), "utf-8")
        access = find_access(str(path), None, {})
        api_server.connect(access, {"PATH": "/usr/bin:/bin"}).close()


@pytest.mark.parametrize("user", sorted({*USERS} - {"file", "certificate"}))
def test_kubeconfig_is_used(user: str) -> None:
    use(kubeconfig(user))


@pytest.mark.parametrize("user", USERS)
@given(data=st.data())
def test_any_kubeconfig_is_used_or_refused(user: str, data: st.DataObject) -> None:
    config = copy.deepcopy(kubeconfig(user))
    place = data.draw(st.sampled_from(list(places(config))))
    *parents, last = place
    found: Any = config
    for each in parents:
        found = found[each]
    found[last] = data.draw(SOMETHING_ELSE)

    with contextlib.suppress(SettingsInvalid):
        use(config)


@given(SOMETHING_ELSE)
def test_file_that_is_no_kubeconfig_is_refused(config: Any) -> None:
    with pytest.raises(SettingsInvalid):
        use(config)
