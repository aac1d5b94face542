"""What the logs of the readers in pods tell."""

import json

import pytest

from tests.e2e.readings import delays, parse, shortest_left


def log(*lines: tuple[float, str, float]) -> str:
    """Return a reader's log of times, tokens and remaining lifetimes."""
    return "\n".join(
        json.dumps({"at": at, "token": token, "left": left}) for at, token, left in lines
    )


TWO_TOKENS = parse(log((100, "a", 50), (102, "a", 48), (120, "b", 55), (122, "b", 53)))


def test_token_is_seen_until_the_next_one_is_read() -> None:
    assert TWO_TOKENS.changes == {"a": 100, "b": 120}
    assert TWO_TOKENS.seen_until == {"a": 120, "b": 122}


def test_shortest_and_last_lifetime_are_those_logged() -> None:
    assert (TWO_TOKENS.shortest_left, TWO_TOKENS.last_left) == (48, 53)


def test_shortest_left_uses_the_clock_of_the_endpoint() -> None:
    assert shortest_left([TWO_TOKENS], {"a": 150, "b": 175}) == 30


def test_delay_counts_from_the_latest_write() -> None:
    assert delays([TWO_TOKENS], [95, 103, 130]) == [17]
    assert delays([parse(log((100, "a", 50)))], [95]) == []


def test_delay_fails_for_a_change_without_a_write() -> None:
    with pytest.raises(ValueError, match="empty"):
        delays([TWO_TOKENS], [130])
