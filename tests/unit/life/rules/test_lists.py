"""Rule: a list never overwrites what a watch has reported since; a restored backup is noticed."""

from datetime import timedelta

import pytest

from tests.life.lab import HOUR, MINUTE, Lab
from tests.life.paths import SECRETS, tokens_path

RESYNC_AND_LIST = 15 * MINUTE


@pytest.fixture
def listing(lab: Lab) -> Lab:
    """Return a lab in the middle of a resync: the first page of the resources has been read."""
    lab.connection.page_size = 1
    lab.connection.page_delay = 30.0
    for name in ("a", "b", "c"):
        lab.create(name)
    for name in ("a", "b", "c"):
        lab.wait_until_ready(name)
    lab.connection.listing.clear()
    for _ in lab.passing(RESYNC_AND_LIST, step=1):
        if tokens_path("shop") in lab.connection.listing:
            return lab
    raise AssertionError("no resync")


def test_spec_change_survives_a_stale_page(listing: Lab) -> None:
    listing.patch_resource("c", {"spec": {"suspend": True}})
    listing.run(5 * MINUTE)
    issued = listing.exchanges
    listing.delete_secret("c")
    listing.run(MINUTE)

    assert listing.exchanges == issued
    assert listing.data("c") is None


def test_deleted_resource_survives_no_stale_page(listing: Lab) -> None:
    listing.delete_resource("c")
    listing.delete_secret("c")
    listing.run(5 * MINUTE)

    assert listing.data("c") is None


def test_recreated_resource_survives_a_stale_page(listing: Lab) -> None:
    listing.delete_resource("c")
    listing.delete_secret("c")
    listing.create("c", target={"name": "another"})
    listing.run(5 * MINUTE)

    assert listing.data("c") is None
    assert listing.is_fresh("another")
    assert listing.is_ready("c")


@pytest.mark.parametrize("minutes", [1, 4])
def test_restored_backup_is_noticed(lab: Lab, minutes: int) -> None:
    """An expired token that comes back with an etcd backup does not stay for long."""
    lab.endpoint.lifetime = timedelta(minutes=5)
    lab.create("a")
    lab.wait_until_ready("a")
    backup = lab.api.snapshot()
    lab.run(HOUR + minutes * MINUTE)
    lab.restore(backup)
    lab.run(15)

    assert lab.is_fresh("a")
    assert lab.is_ready("a")
    assert lab.api.find(f"{SECRETS}/a")
