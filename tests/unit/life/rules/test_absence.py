"""Rule: an absence must be proven.

A 404 or an empty list is no proof that resources are gone: nothing is forgotten or removed because
of a single failed or partial list.
"""

import pytest

from tests.life.connection import ListFault
from tests.life.lab import HOUR, MINUTE, Lab
from tests.life.paths import SECRETS, TOKENS

FAULTS = {
    "404": ListFault(404),
    "500": ListFault(500),
    "empty": ListFault(200),
    "404 after a page": ListFault(404, pages=1),
    "500 after a page": ListFault(500, pages=1),
    "cut off after a page": ListFault(200, pages=1),
}
NAMES = ("a", "b", "c")


@pytest.fixture
def served(lab: Lab) -> Lab:
    """Return a lab with three resources, of which `c` merges into a Secret of someone else's."""
    lab.connection.page_size = 1
    lab.put_own_secret("app", region="eu")
    for name in NAMES:
        target = {"name": "app", "creationPolicy": "Merge"} if name == "c" else {}
        lab.create(name, target=target)
    for name in NAMES:
        lab.wait_until_ready(name)
    return lab


def is_served(lab: Lab) -> bool:
    return (
        all(lab.is_ready(name) for name in NAMES)
        and all(lab.is_fresh(name) for name in ("a", "b", "app"))
        and (lab.data("app") or {})["region"] == "eu"
    )


@pytest.mark.parametrize("path", [TOKENS, SECRETS], ids=["resources", "secrets"])
@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_by_one_bad_list(served: Lab, path: str, fault: str) -> None:
    before = served.exchanges
    served.connection.list_faults[path] = [FAULTS[fault]]
    served.connection.break_watches(compact=True)

    for _ in served.passing(25 * MINUTE):
        assert is_served(served)
    assert served.exchanges - before <= 2 * len(NAMES)
    assert all(is_served(served) for _ in served.passing(2 * HOUR, MINUTE))


def test_nothing_is_lost_while_the_kind_is_not_served(served: Lab) -> None:
    """As when the CRD serves only another version for a while."""
    served.connection.list_faults[TOKENS] = [ListFault(404)] * 20
    served.run(3 * HOUR)

    assert is_served(served)


def test_merged_keys_are_removed_once_the_resource_is_gone(served: Lab) -> None:
    served.events_lost = True
    served.delete_resource("c")
    served.run(1)
    served.events_lost = False
    served.run(45 * MINUTE)

    assert served.data("app") == {"region": "eu"}
