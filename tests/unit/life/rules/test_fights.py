"""Rule: never fight.

Repairs and exchanges caused by someone else's writes to the same target are damped: a few at once,
then exponential backoff up to minutes, with a condition that names the other writer. Scheduled
refreshes are not affected.
"""

from collections.abc import Callable

import pytest

from tests.life.endpoint import GOOD_SECRETS
from tests.life.lab import HOUR, MINUTE, Lab
from tests.life.writers import Writer, remover, reverter, stripper
from tests.support.encoding import encode

# A few at once, then up to one in some minutes.
FIRST_HOUR, LATER_HOUR = 60, 40

Fight = Callable[[Lab], list[Writer]]

OVER_THE_TOKEN: dict[str, Fight] = {
    "removes the token": lambda lab: [remover(lab, "access_token", "a")],
    "restores another token": lambda lab: [reverter(lab, {"access_token": encode("theirs")}, "a")],
}
OVER_THE_REST: dict[str, Fight] = {
    "removes the token type": lambda lab: [remover(lab, "token_type", "a")],
    "restores another token type": lambda lab: [reverter(lab, {"token_type": encode("mac")}, "a")],
    "strips labels": lambda lab: [stripper(lab, "labels", "a")],
    "strips owner references": lambda lab: [stripper(lab, "ownerReferences", "a")],
}
OVER_CREDENTIALS: dict[str, Fight] = {
    "two sources of credentials": lambda lab: [
        reverter(lab, {"client_secret": encode(secret)}, "one", manager=f"source-{n}", delay=1.0)
        for n, secret in enumerate(GOOD_SECRETS)
    ],
}


def begin(lab: Lab, fight: Fight) -> list[Writer]:
    """Start a fight over a ready resource; return the other writers."""
    lab.create("a")
    lab.wait_until_ready("a")
    writers = fight(lab)
    lab.writers += writers
    for name in {name for writer in writers for name in writer.names}:
        lab.patch_secret(name, {"metadata": {"annotations": {"touched": "once"}}})
    lab.run(1)
    return writers


@pytest.mark.parametrize("fight", [*OVER_THE_TOKEN, *OVER_CREDENTIALS])
def test_exchanges_are_damped_in_a_fight(lab: Lab, fight: str) -> None:
    begin(lab, (OVER_THE_TOKEN | OVER_CREDENTIALS)[fight])

    for most in (FIRST_HOUR, LATER_HOUR, LATER_HOUR):
        exchanges, requests = lab.exchanges, len(lab.connection.requests)
        for _ in lab.passing(HOUR, MINUTE):
            assert lab.exchanges - exchanges <= most
            assert lab.attempts(requests) <= 2 * most


@pytest.mark.parametrize("fight", OVER_THE_REST)
def test_repairs_are_damped_in_a_fight(lab: Lab, fight: str) -> None:
    begin(lab, OVER_THE_REST[fight])

    for most in (FIRST_HOUR, LATER_HOUR, LATER_HOUR):
        exchanges, requests = lab.exchanges, len(lab.connection.requests)
        for _ in lab.passing(HOUR, MINUTE):
            assert lab.exchanges - exchanges <= 4
            assert lab.attempts(requests) <= most


@pytest.mark.parametrize("fight", OVER_THE_REST)
def test_scheduled_refreshes_go_on_in_a_fight(lab: Lab, fight: str) -> None:
    begin(lab, OVER_THE_REST[fight])

    assert all(lab.is_fresh("a") for _ in lab.passing(3 * HOUR, MINUTE))


@pytest.mark.parametrize("fight", [*OVER_THE_TOKEN, *OVER_THE_REST])
def test_fight_is_reported(lab: Lab, fight: str) -> None:
    begin(lab, (OVER_THE_TOKEN | OVER_THE_REST)[fight])
    lab.run(10 * MINUTE)

    assert lab.complaints("a")


@pytest.mark.parametrize("fight", [*OVER_THE_TOKEN, *OVER_THE_REST])
def test_fight_is_recorded_in_few_events(lab: Lab, fight: str) -> None:
    begin(lab, (OVER_THE_TOKEN | OVER_THE_REST)[fight])
    lab.run(10 * MINUTE)

    assert 1 < len(lab.events) <= 8


@pytest.mark.parametrize(
    "fight",
    ["restores another token", "restores another token type", "two sources of credentials"],
)
def test_other_writer_is_named_in_a_fight(lab: Lab, fight: str) -> None:
    writers = begin(lab, (OVER_THE_TOKEN | OVER_THE_REST | OVER_CREDENTIALS)[fight])
    lab.run(10 * MINUTE)

    complaints = " ".join(lab.complaints("a"))
    assert any(writer.manager in complaints for writer in writers)


@pytest.mark.parametrize("fight", [*OVER_THE_TOKEN, *OVER_THE_REST, *OVER_CREDENTIALS])
def test_resource_recovers_after_a_fight(lab: Lab, fight: str) -> None:
    writers = begin(lab, (OVER_THE_TOKEN | OVER_THE_REST | OVER_CREDENTIALS)[fight])
    for _ in lab.passing(HOUR, MINUTE):
        assert lab.exchanges <= FIRST_HOUR
    for writer in writers:
        writer.active = False
    lab.run(30 * MINUTE)

    assert lab.is_fresh("a")
    assert lab.is_ready("a")
    assert not lab.complaints("a")


def test_first_repairs_are_made_at_once(lab: Lab) -> None:
    lab.create("a")
    lab.wait_until_ready("a")
    for _ in range(3):
        lab.run(10 * MINUTE)
        lab.patch_secret("a", {"data": {"token_type": None}})
        lab.run(2)
        assert (lab.data("a") or {}).get("token_type") == "Bearer"


def test_recreating_a_resource_in_a_loop_costs_few_exchanges(lab: Lab) -> None:
    lab.create("a")
    lab.wait_until_ready("a")

    for most in (FIRST_HOUR, LATER_HOUR):
        exchanges = lab.exchanges
        for _ in range(HOUR // 10):
            lab.delete_resource("a")
            lab.run(4)
            lab.create("a")
            lab.run(5)
        assert lab.exchanges - exchanges <= most

    refreshed = lab.conditions("a")["Refreshed"]
    assert refreshed["reason"] == "TargetContested"
    assert "the resource was recreated" in refreshed["message"]
    lab.wait_until_ready("a", seconds=6 * MINUTE)


def test_recreated_resource_gets_its_token_at_once(lab: Lab) -> None:
    for _ in range(3):
        lab.create("a")
        lab.wait_until_ready("a")
        lab.delete_resource("a")
        lab.run(5)
