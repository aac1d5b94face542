import pytest

from tests.chaos.analysis.exchanges import tally
from tests.chaos.faults.catalog import BY_NAME
from tests.chaos.records import Exchange, Fault

KEY, OTHER = ("default", "search"), ("default", "other")
EARLIEST = 50.0


def seen(at: float) -> Exchange:
    return Exchange(at, KEY, frozenset({KEY}))


def lost(at: float) -> Exchange:
    return Exchange(at, None, frozenset({KEY}))


def fault(name: str, at: float, *affects: tuple[str, str]) -> Fault:
    return Fault(BY_NAME[name], at, at, frozenset(affects) if affects else None)


@pytest.mark.parametrize(
    ("exchanges", "faults", "exits", "needed", "beyond"),
    [
        pytest.param([seen(0)], [], [], {"first": 1}, {}, id="a first token"),
        pytest.param(
            [seen(0), seen(55), seen(110)],
            [],
            [],
            {"first": 1, "due": 2},
            {},
            id="due tokens",
        ),
        pytest.param(
            [seen(0), seen(20)],
            [],
            [],
            {"first": 1},
            {"unexplained": 1},
            id="a token before it was due",
        ),
        pytest.param(
            [seen(0), seen(20)],
            [fault("users: targets deleted", 19, KEY)],
            [],
            {"first": 1, "users: targets deleted": 1},
            {},
            id="a deleted target",
        ),
        pytest.param(
            [seen(0), seen(20)],
            [fault("users: targets deleted", 19, OTHER)],
            [],
            {"first": 1},
            {"unexplained": 1},
            id="a deleted target of another resource",
        ),
        pytest.param(
            [seen(20), seen(40)],
            [fault("users: targets deleted", 10, KEY)],
            [],
            {"first": 1},
            {"unexplained": 1},
            id="a target deleted before the last token",
        ),
        pytest.param(
            [seen(0), seen(20)],
            [fault("control plane: CRD reinstalled", 19)],
            [],
            {"first": 1, "control plane: CRD reinstalled": 1},
            {},
            id="a resource deleted with its CRD",
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
            [fault("users: targets deleted", 15, KEY), fault("clock: 5 min ahead", 19)],
            [],
            {"first": 1, "users: targets deleted": 1},
            {},
            id="a clock and a better cause",
        ),
        pytest.param(
            [lost(10)],
            [],
            [12],
            {},
            {"a process exited before it wrote the token": 1},
            id="a token lost with the process",
        ),
        pytest.param(
            [lost(10)],
            [fault("users: resource recreated", 11, KEY)],
            [],
            {},
            {"no longer wanted: users: resource recreated": 1},
            id="a token whose resource was deleted",
        ),
        pytest.param(
            [seen(60), seen(61)],
            [fault("users: resource recreated", 55, KEY)],
            [],
            {"first": 1},
            {"for a resource whose deletion had not been noticed yet": 1},
            id="one token each for a deleted resource and its successor",
        ),
        pytest.param(
            [seen(60), seen(61)],
            [fault("users: resource recreated", 55, KEY), fault("clock: 5 min ahead", 60)],
            [],
            {"first": 1},
            {"for a resource whose deletion had not been noticed yet": 1},
            id="the same with a wrong clock",
        ),
        pytest.param(
            [lost(60)],
            [fault("users: resource recreated", 55, KEY)],
            [],
            {},
            {"for a resource whose deletion had not been noticed yet": 1},
            id="a token never written for a deleted resource",
        ),
        pytest.param(
            [seen(60), seen(61)],
            [fault("users: targets deleted", 55, KEY)],
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
def test_tally_counts_exchanges_by_cause(
    exchanges: list[Exchange],
    faults: list[Fault],
    exits: list[float],
    needed: dict[str, int],
    beyond: dict[str, int],
) -> None:
    found = tally(exchanges, faults, exits, EARLIEST, {})
    assert (found.needed, found.beyond) == (needed, beyond)
    assert len(found.unexplained) == beyond.get("unexplained", 0)


@pytest.mark.parametrize(
    ("requested_at", "needed", "unexplained"),
    [
        pytest.param([19], {"first": 1, "requested": 1}, 1, id="one request"),
        pytest.param([19, 29], {"first": 1, "requested": 2}, 0, id="two requests"),
        pytest.param([18, 19], {"first": 1, "requested": 1}, 1, id="two before one exchange"),
        pytest.param([31], {"first": 1}, 2, id="a later request"),
    ],
)
def test_requested_refresh_needs_one_exchange(
    requested_at: list[float], needed: dict[str, int], unexplained: int
) -> None:
    found = tally([seen(0), seen(20), seen(30)], [], [], EARLIEST, {KEY: requested_at})
    assert (found.needed, len(found.unexplained)) == (needed, unexplained)
