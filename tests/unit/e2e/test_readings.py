"""What is made of the lines that readers in pods wrote."""

import json

import pytest

from tests.e2e.readings import delays, least_left, parse


def log(*lines: tuple[float, str, float]) -> str:
    """Return a reader's log: when, which token, how much life is left."""
    return "\n".join(
        json.dumps({"at": at, "token": token, "left": left}) for at, token, left in lines
    )


TWO_TOKENS = parse(log((100, "a", 50), (102, "a", 48), (120, "b", 55), (122, "b", 53)))


def test_a_token_is_there_until_the_next_one_is_read() -> None:
    assert TWO_TOKENS.changes == {"a": 100, "b": 120}
    assert TWO_TOKENS.seen_until == {"a": 120, "b": 122}


def test_the_least_and_the_last_life_are_those_that_were_told() -> None:
    assert (TWO_TOKENS.least_left, TWO_TOKENS.last_left) == (48, 53)


def test_what_is_left_goes_by_the_clock_of_the_one_who_issued_the_tokens() -> None:
    assert least_left([TWO_TOKENS], {"a": 150, "b": 175}) == 30


def test_a_delay_is_that_from_the_latest_write_and_the_first_reading_has_none() -> None:
    assert delays([TWO_TOKENS], [95, 103, 130]) == [17]
    assert delays([parse(log((100, "a", 50)))], [95]) == []


def test_a_change_without_a_write_is_no_delay() -> None:
    with pytest.raises(ValueError, match="empty"):
        delays([TWO_TOKENS], [130])
