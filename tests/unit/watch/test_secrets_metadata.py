"""What a list means for Secrets that are noted while its pages are read."""

import random
from collections.abc import Collection, Hashable

import pytest

from pinecone_token_operator.watch.secrets_metadata import Key, SecretReflector
from tests.support.no_api import NoApi

KEY = "team-a", "app"


class Listing:
    """A reflector whose list is in the test's hands."""

    def __init__(self) -> None:
        self.reports: list[set[Hashable]] = []
        self.wanted = True
        self.watch = SecretReflector(
            NoApi(),
            None,
            is_wanted=lambda _: self.wanted,
            changed=self._report,
            monotonic=lambda: 0.0,
            rng=random.Random(1),
        )

    def _report(self, key: Key, seen_by: Collection[Hashable]) -> None:
        assert key == KEY
        self.reports.append(set(seen_by))

    def note(self, version: str, by: str = "one", uid: str = "u") -> None:
        self.watch.note(KEY, uid, version, by=by)

    def add(self, version: str, uid: str = "u") -> None:
        namespace, name = KEY
        metadata = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": version}
        self.watch.add({"metadata": metadata})

    def end(self, *, restored: bool = False) -> list[set[Hashable]]:
        self.watch.end_list(restored=restored)
        return self.reports


@pytest.fixture
def listing() -> Listing:
    return Listing()


def test_listed_version_is_reported_to_those_who_missed_it(listing: Listing) -> None:
    listing.note("7", by="one")
    listing.watch.begin_list()
    listing.add("7")
    listing.note("7", by="two")
    assert listing.end() == [{"one", "two"}]


def test_version_noted_during_the_list_is_reported_when_listed(listing: Listing) -> None:
    """Whoever has not noted it would not be told otherwise: no event follows."""
    listing.note("7", by="one")
    listing.watch.begin_list()
    listing.note("8", by="one")
    listing.add("8")
    assert listing.end() == [{"one"}]


def test_version_noted_after_the_list_is_left_to_the_watch(listing: Listing) -> None:
    listing.watch.begin_list()
    listing.add("7")
    listing.note("8", by="one")
    assert listing.end() == []


def test_secret_created_after_the_list_is_left_to_the_watch(listing: Listing) -> None:
    listing.watch.begin_list()
    listing.note("8", by="one")
    assert listing.end() == []


def test_secret_missing_from_the_list_is_reported(listing: Listing) -> None:
    listing.note("7", by="one")
    listing.watch.begin_list()
    assert listing.end() == [set()]


@pytest.mark.parametrize("version", ["6", "7"])
def test_restored_store_leaves_nothing_seen(listing: Listing, version: str) -> None:
    """The same version may hold something else after a restore."""
    listing.note("7", by="one")
    listing.watch.begin_list()
    listing.add(version)
    assert listing.end(restored=True) == [set()]


def test_secret_unwanted_by_the_end_of_the_list_is_not_reported(listing: Listing) -> None:
    listing.watch.begin_list()
    listing.add("7")
    listing.wanted = False
    assert listing.end() == []


def test_list_that_fails_leaves_no_trace_in_the_next(listing: Listing) -> None:
    listing.watch.begin_list()
    listing.add("7")
    listing.watch.begin_list()
    assert listing.end() == []


@pytest.mark.parametrize("count", [1, 4, 5, 6, 1000])
def test_version_is_not_reported_to_the_many_who_saw_it(listing: Listing, count: int) -> None:
    who = [f"resource-{number}" for number in range(count)]
    for by in (*who, *who):
        listing.note("7", by=by)
    listing.watch.begin_list()
    listing.add("7")
    assert listing.end() == [set(who)]
