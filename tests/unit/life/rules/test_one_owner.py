"""Rule: exactly one owner.

Of any set of resources that name one target, created in any order, in the same second, recreated or
restored, exactly one keeps it fresh: the one whose UID is on the Secret, else the oldest.
"""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.life.lab import HOUR, MINUTE, Lab
from tests.life.paths import NAMESPACE, SECRETS, secrets_path, tokens_path
from tests.support.documented import RESOURCE_UID

TARGET = {"name": "shared"}


def owners(lab: Lab, names: list[str]) -> list[str]:
    return [name for name in names if lab.is_ready(name)]


def check_one_owner(lab: Lab, names: list[str]) -> None:
    """Check that one of the resources keeps the target fresh and the others say why they don't."""
    (owner,) = owners(lab, names)
    for _ in lab.passing(HOUR, 2 * MINUTE):
        assert lab.is_fresh("shared")
        assert owners(lab, names) == [owner]
    others = [name for name in names if name != owner]
    assert all(lab.complaints(name) for name in others)
    secret = lab.api.find(f"{SECRETS}/shared") or {}
    resource = lab.api.find(f"{tokens_path(NAMESPACE)}/{owner}") or {}
    assert secret["metadata"]["labels"][RESOURCE_UID] == resource["metadata"]["uid"]


steps = st.lists(
    st.tuples(
        st.sampled_from(["create", "delete", "recreate", "restart", "delete target"]),
        st.sampled_from("abcd"),
        st.booleans(),
    ),
    min_size=2,
    max_size=8,
)


@settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(steps, st.permutations("abcd"))
def test_one_resource_owns_the_target(plan: list[tuple[str, str, bool]], last: list[str]) -> None:
    lab = Lab()
    try:
        for what, name, waits in plan:
            if what == "delete":
                lab.delete_resource(name)
            elif what == "restart":
                lab.crash()
            elif what == "delete target":
                lab.delete_secret("shared")
            else:
                if what == "recreate":
                    lab.delete_resource(name)
                lab.create(name, same_second=not waits, target=TARGET)
            if waits:
                lab.run(7)
        for name in last[:2]:
            lab.create(name, same_second=True, target=TARGET)
        lab.collect_garbage()
        lab.run(20 * MINUTE)
        resources = lab.api.items(tokens_path(NAMESPACE))
        check_one_owner(lab, [one["metadata"]["name"] for one in resources])
    finally:
        lab.close()


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_tie_has_one_owner(lab: Lab, order: str) -> None:
    for name in order:
        lab.create(name, same_second=True, target=TARGET)
    lab.run(MINUTE)

    check_one_owner(lab, ["a", "b"])


def test_owner_keeps_its_target_when_an_older_one_is_restored(lab: Lab) -> None:
    lab.create("old", target=TARGET)
    lab.wait_until_ready("old")
    backup = lab.api.find(f"{tokens_path(NAMESPACE)}/old") or {}
    lab.delete_resource("old")
    lab.collect_garbage()
    lab.create("new", target=TARGET)
    lab.wait_until_ready("new")
    # A backup tool that keeps creation times, as etcd-level tools do.
    restored = {**backup, "metadata": {**backup["metadata"], "resourceVersion": ""}}
    lab.api.put(f"{tokens_path(NAMESPACE)}/old", restored)
    lab.run(MINUTE)

    assert owners(lab, ["old", "new"]) == ["new"]
    check_one_owner(lab, ["old", "new"])


def manifest(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object as a backup tool recreates it: without identity and owner references."""
    kept = {
        part: obj["metadata"][part]
        for part in ("name", "labels", "annotations")
        if part in obj["metadata"]
    }
    return {**{part: obj[part] for part in obj if part != "status"}, "metadata": kept}


@settings(
    max_examples=8,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.permutations(range(4)), st.integers(0, 3), st.sampled_from(["Delete", "Retain"]))
def test_restored_objects_have_one_owner_each(order: list[int], pauses: int, deletion: str) -> None:
    lab = Lab()
    try:
        for name in "ab":
            lab.create(name, target={"name": f"token-{name}", "deletionPolicy": deletion})
            lab.wait_until_ready(name)
        paths = [
            *(f"{tokens_path(NAMESPACE)}/{name}" for name in "ab"),
            *(f"{secrets_path(NAMESPACE)}/token-{name}" for name in "ab"),
        ]
        saved = [manifest(lab.api.find(path) or {}) for path in paths]
        for path in paths:
            lab.ask("DELETE", path)
        lab.run(1)
        for path in paths[2:]:
            lab.ask("DELETE", path)
        for number in order:
            lab.ask("POST", paths[number].rpartition("/")[0], saved[number], by="backup-tool")
            lab.run(pauses)
        lab.run(20 * MINUTE)

        for _ in lab.passing(HOUR, 5 * MINUTE):
            for name in "ab":
                assert lab.is_ready(name)
                assert lab.is_fresh(f"token-{name}")
    finally:
        lab.close()
