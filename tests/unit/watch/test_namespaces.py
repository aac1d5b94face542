"""Which changes of namespaces are reported, and what a list says about those that it lacks."""

import random
from typing import Any

import pytest

from pinecone_token_operator.watch.namespaces import Namespace, Namespaces
from tests.support.no_api import NoApi


class Watched:
    """Namespaces whose lists and events are in the test's hands."""

    def __init__(self, *scopes: str | None) -> None:
        self.changes: list[tuple[Namespace | None, Namespace | None]] = []
        self.all = Namespaces(
            NoApi(),
            scopes or (None,),
            changed=lambda before, after: self.changes.append((before, after)),
            monotonic=lambda: 0.0,
            rng=random.Random(1),
        )
        self.stores = [reflector._store for reflector in self.all.reflectors]  # noqa: SLF001 - what a reflector calls is what is tested

    def relist(self, *items: dict[str, Any], scope: int = 0) -> None:
        self.stores[scope].begin_list()
        for item in items:
            self.stores[scope].add(item)
        self.stores[scope].end_list(restored=False)

    def event(self, event_type: str, item: dict[str, Any], scope: int = 0) -> None:
        self.stores[scope].change(event_type, item)

    def take(self) -> list[tuple[Namespace | None, Namespace | None]]:
        found, self.changes = self.changes, []
        return found


def item(name: str, uid: str = "1", *, terminating: bool = False, **labels: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": uid, "resourceVersion": "1"}
    if labels:
        metadata["labels"] = labels
    if terminating:
        metadata["deletionTimestamp"] = "2026-11-25T12:00:00Z"
    return {"metadata": metadata}


@pytest.fixture
def watched() -> Watched:
    made = Watched()
    made.relist(item("a", team="x"))
    made.take()
    return made


def test_listed_namespace_is_reported_with_its_labels() -> None:
    watched = Watched()
    watched.relist(item("a", team="x"), item("b"))
    expected = Namespace("a", "1", {"team": "x"}), Namespace("b", "1", {})
    assert watched.changes == [(None, one) for one in expected]
    assert [one.name for one in watched.all] == ["a", "b"]
    assert watched.all.get("a") == expected[0]
    assert watched.all.get("c") is None


def test_unchanged_namespace_is_not_reported(watched: Watched) -> None:
    watched.event("MODIFIED", item("a", team="x"))
    watched.relist(item("a", team="x"))
    assert watched.changes == []


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(item("a", team="y"), id="other labels"),
        pytest.param(item("a"), id="no labels"),
        pytest.param(item("a", team="x", terminating=True), id="terminating"),
        pytest.param(item("a", "2", team="x"), id="recreated"),
    ],
)
@pytest.mark.parametrize("by_list", [True, False], ids=["list", "event"])
def test_change_is_reported_with_what_was_before(
    watched: Watched, after: dict[str, Any], *, by_list: bool
) -> None:
    if by_list:
        watched.relist(after)
    else:
        watched.event("MODIFIED", after)
    assert watched.changes == [(Namespace("a", "1", {"team": "x"}), watched.all.get("a"))]
    assert watched.all.get("a") != Namespace("a", "1", {"team": "x"})


def test_deleted_namespace_is_reported_once(watched: Watched) -> None:
    for _ in range(2):
        watched.event("DELETED", item("a", team="x"))
    assert watched.changes == [(Namespace("a", "1", {"team": "x"}), None)]
    assert len(watched.all) == 0


def test_namespace_missing_in_a_whole_list_is_deleted(watched: Watched) -> None:
    watched.relist(item("b"))
    assert [one.name for one in watched.all] == ["b"]
    assert watched.take()[1] == (Namespace("a", "1", {"team": "x"}), None)


def test_aborted_list_proves_no_absence(watched: Watched) -> None:
    store = watched.stores[0]
    store.begin_list()
    store.add(item("b"))
    # The next page failed: the list begins again.
    store.begin_list()
    assert {one.name for one in watched.all} == {"a", "b"}
    store.add(item("a", team="x"))
    store.end_list(restored=False)
    assert [one.name for one in watched.all] == ["a"]


def test_list_of_one_scope_says_nothing_about_another() -> None:
    watched = Watched("a", "b")
    watched.relist(item("a"), scope=0)
    watched.relist(item("b"), scope=1)
    watched.relist(scope=0)
    assert [one.name for one in watched.all] == ["b"]


def test_namespaces_are_synced_once_all_scopes_are() -> None:
    watched = Watched("a", "b")
    first, second = watched.all.reflectors
    first.synced.set()
    assert not watched.all.synced
    second.synced.set()
    assert watched.all.synced
