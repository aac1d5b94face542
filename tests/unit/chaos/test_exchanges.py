import pytest

from tests.chaos.exchanges import Exchange, tally
from tests.chaos.fairness import Fault
from tests.chaos.kinds import BY_NAME

KEY, OTHER = ("default", "search"), ("default", "other")
EARLIEST = 50.0


def seen(at: float) -> Exchange:
    return Exchange(at, KEY, frozenset({KEY}))


def lost(at: float) -> Exchange:
    return Exchange(at, None, frozenset({KEY}))


def fault(name: str, at: float, *concerns: tuple[str, str]) -> Fault:
    return Fault(BY_NAME[name], at, at, frozenset(concerns) if concerns else None)


@pytest.mark.parametrize(
    ("exchanges", "faults", "ends", "needed", "beyond"),
    [
        pytest.param([seen(0)], [], [], {"first": 1}, {}, id="a first token"),
        pytest.param(
            [seen(0), seen(55), seen(110)], [], [], {"first": 1, "due": 2}, {}, id="tokens in time"
        ),
        pytest.param(
            [seen(0), seen(20)],
            [],
            [],
            {"first": 1},
            {"unexplained": 1},
            id="a token before its time",
        ),
        pytest.param(
            [seen(0), seen(20)],
            [fault("people: targets deleted", 19, KEY)],
            [],
            {"first": 1, "people: targets deleted": 1},
            {},
            id="a target that was deleted",
        ),
        pytest.param(
            [seen(0), seen(20)],
            [fault("people: targets deleted", 19, OTHER)],
            [],
            {"first": 1},
            {"unexplained": 1},
            id="another's target that was deleted",
        ),
        pytest.param(
            [seen(20), seen(40)],
            [fault("people: targets deleted", 10, KEY)],
            [],
            {"first": 1},
            {"unexplained": 1},
            id="a target that was deleted before the last token",
        ),
        pytest.param(
            [seen(0), seen(20)],
            [fault("control plane: CRD reinstalled", 19)],
            [],
            {"first": 1, "control plane: CRD reinstalled": 1},
            {},
            id="a resource that went with its kind",
        ),
        pytest.param(
            [seen(0), seen(20)],
            [fault("clock: 5 min ahead", 19)],
            [],
            {"first": 1},
            {"clock: 5 min ahead": 1},
            id="a clock that made a fresh token look old",
        ),
        pytest.param(
            [seen(0), seen(20)],
            [fault("people: targets deleted", 15, KEY), fault("clock: 5 min ahead", 19)],
            [],
            {"first": 1, "people: targets deleted": 1},
            {},
            id="a clock beside a better reason",
        ),
        pytest.param(
            [lost(10)],
            [],
            [12],
            {},
            {"a process ended before it wrote the token": 1},
            id="a token that went with the process",
        ),
        pytest.param(
            [lost(10)],
            [fault("people: resource recreated", 11, KEY)],
            [],
            {},
            {"not wanted any more: people: resource recreated": 1},
            id="a token whose resource went",
        ),
        pytest.param(
            [seen(60), seen(61)],
            [fault("people: resource recreated", 55, KEY)],
            [],
            {"first": 1},
            {"for a resource that was gone, which was not noticed yet": 1},
            id="a token for a resource that was made anew, and one for the new one",
        ),
        pytest.param(
            [seen(60), seen(61)],
            [fault("people: resource recreated", 55, KEY), fault("clock: 5 min ahead", 60)],
            [],
            {"first": 1},
            {"for a resource that was gone, which was not noticed yet": 1},
            id="such a one, and a clock beside it",
        ),
        pytest.param(
            [lost(60)],
            [fault("people: resource recreated", 55, KEY)],
            [],
            {},
            {"for a resource that was gone, which was not noticed yet": 1},
            id="a token that could not be written for a resource that was gone",
        ),
        pytest.param(
            [seen(60), seen(61)],
            [fault("people: targets deleted", 55, KEY)],
            [],
            {"first": 1},
            {"unexplained": 1},
            id="a second token for the same resource",
        ),
        pytest.param(
            [lost(10)], [], [], {}, {"unexplained": 1}, id="a token that was never written"
        ),
    ],
)
def test_why_exchanges_were_made(
    exchanges: list[Exchange],
    faults: list[Fault],
    ends: list[float],
    needed: dict[str, int],
    beyond: dict[str, int],
) -> None:
    found = tally(exchanges, faults, ends, EARLIEST)
    assert (found.needed, found.beyond) == (needed, beyond)
    assert len(found.unexplained) == beyond.get("unexplained", 0)
