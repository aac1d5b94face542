"""Short scenarios, one for each promise of the oracle; the oracle judges how each of them ends."""

from collections.abc import Callable, Iterator

import pytest

from tests.life.endpoint import GOOD_SECRETS
from tests.life.machine import ALLOWED, FAR_FUTURE, HOUR, MINUTE, SHARED, Simulation, spec
from tests.life.paths import SECRETS
from tests.support import documented

OWNED = spec("Owner", "Delete", "one", None, None)
MERGED = spec("Merge", "Delete", "one", SHARED, None)


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    """Return a simulation with a resource `a` that has a token."""
    found = Simulation()
    found.begin([OWNED])
    found.wait(MINUTE)
    assert len(found.world.endpoint.issued) == 1
    yield found
    found.recover()
    found.promises_hold()
    found.teardown()


def tamper(simulation: Simulation, annotation: str, value: str) -> None:
    simulation.world.patch_secret("a", {"metadata": {"annotations": {annotation: value}}})


def allow_merging(simulation: Simulation) -> None:
    simulation.replace_secret(SHARED, ALLOWED)
    simulation.create("b", MERGED)
    simulation.wait(MINUTE)


@pytest.mark.parametrize(
    ("act", "exchanges"),
    [
        pytest.param(lambda s: s.use_other_credentials("a", "two"), 1, id="other credentials"),
        pytest.param(
            lambda s: s.change_credentials("one", GOOD_SECRETS[1]), 1, id="rotated credentials"
        ),
        pytest.param(lambda s: s.request_refresh("a", 0), 1, id="requested refresh"),
        pytest.param(lambda s: s.delete_secret("a"), 1, id="deleted target"),
        pytest.param(lambda s: s.tamper("a", "another token"), 1, id="another token"),
        pytest.param(lambda s: s.tamper("a", "another checksum"), 1, id="another checksum"),
        pytest.param(lambda s: s.tamper("a", "a later expiry"), 1, id="later expiry"),
        pytest.param(lambda s: s.tamper("a", "another value"), 0, id="another value"),
        pytest.param(lambda s: s.tamper("a", "no owner"), 0, id="removed owner reference"),
        pytest.param(lambda s: s.tamper("a", "no labels"), 0, id="removed labels"),
        pytest.param(lambda s: s.restart(), 0, id="restart"),
    ],
)
def test_exchange_is_made_only_when_needed(
    simulation: Simulation, act: Callable[[Simulation], None], exchanges: int
) -> None:
    act(simulation)
    simulation.wait(MINUTE)

    assert len(simulation.world.endpoint.issued) == 1 + exchanges


def test_refresh_is_on_time_when_its_plan_was_tampered_with(simulation: Simulation) -> None:
    tamper(simulation, documented.REFRESH_AT, FAR_FUTURE)
    simulation.wait(HOUR)


def test_refresh_before_is_at_most_half_of_the_lifetime(simulation: Simulation) -> None:
    simulation.set_lifetime(5 * MINUTE)
    simulation.change("a", {"refreshBefore": "10m"})
    simulation.request_refresh("a", 0)
    simulation.wait(5 * MINUTE)

    assert 2 <= len(simulation.world.endpoint.issued) <= 4


def test_token_is_written_later_when_writes_are_refused(simulation: Simulation) -> None:
    simulation.refuse_writes(forbidden=True)
    simulation.request_refresh("a", 0)
    simulation.wait(5 * MINUTE)
    simulation.refuse_writes(forbidden=False)
    simulation.wait(5 * MINUTE)

    assert len(simulation.world.endpoint.issued) == 2


def test_template_key_is_removed_when_no_longer_named(simulation: Simulation) -> None:
    more = {"target": {"template": {"data": {"more": "$$${expires_at_unix} ${token_type}"}}}}
    simulation.change("a", more)
    simulation.recover()
    simulation.promises_hold()

    simulation.change("a", {"target": {"template": {"data": None, "metadata": None}}})


def test_policy_change_is_applied(simulation: Simulation) -> None:
    simulation.change("a", {"target": {"deletionPolicy": "Retain"}})
    simulation.recover()
    simulation.promises_hold()

    simulation.change("a", {"target": {"deletionPolicy": "Delete"}})


def test_oldest_of_two_resources_owns_the_target(simulation: Simulation) -> None:
    simulation.create("b", spec("Owner", "Delete", "one", "a", None))
    simulation.recover()
    simulation.promises_hold()

    simulation.delete("a")
    simulation.collect_garbage()


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_merged_keys_are_removed_with_their_resource(
    simulation: Simulation, *, restarted: bool
) -> None:
    allow_merging(simulation)
    if restarted:
        simulation.lose_events(lost=True)
        simulation.delete("b")
        simulation.restart()
        simulation.lose_events(lost=False)
    else:
        simulation.delete("b")
    simulation.wait(HOUR)

    secret = simulation.world.api.find(f"{SECRETS}/{SHARED}") or {}
    assert set(secret["data"]) == {"foreign"}


@pytest.mark.parametrize("metadata", [{}, {"labels": {"app": "other"}}], ids=["bare", "labelled"])
def test_secret_of_someone_else_is_left_alone(
    simulation: Simulation, metadata: dict[str, object]
) -> None:
    simulation.replace_secret(SHARED, metadata)
    before = simulation.world.api.find(f"{SECRETS}/{SHARED}")
    simulation.create("b", spec("Owner", "Delete", "one", SHARED, None))
    simulation.wait(HOUR)

    assert simulation.world.api.find(f"{SECRETS}/{SHARED}") == before


def test_secret_is_not_merged_into_without_permission(simulation: Simulation) -> None:
    simulation.replace_secret(SHARED, {})
    before = simulation.world.api.find(f"{SECRETS}/{SHARED}")
    simulation.create("b", MERGED)
    simulation.wait(HOUR)

    assert simulation.world.api.find(f"{SECRETS}/{SHARED}") == before


def test_ready_is_false_after_the_expiry(simulation: Simulation) -> None:
    simulation.set_endpoint_mode("unavailable")
    simulation.wait(HOUR)
    simulation.promises_hold()

    (resource,) = simulation.world.oracle.resources()
    assert resource.conditions["Ready"]["reason"] == "TokenExpired"


def test_restarts_at_one_moment_are_not_a_hot_loop(simulation: Simulation) -> None:
    sent = simulation.world.connection.requests
    before = len(sent)
    for _ in range(simulation.world.most_at_once):
        simulation.restart()
        simulation.promises_hold()
    assert len(sent) - before >= simulation.world.most_at_once
