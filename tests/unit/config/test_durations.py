from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.config.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        pytest.param("1s", timedelta(seconds=1), id="shortest"),
        pytest.param("90s", timedelta(seconds=90), id="seconds may exceed a minute"),
        pytest.param("10m", timedelta(minutes=10), id="minutes alone"),
        pytest.param("1h30m", timedelta(hours=1.5), id="hours and minutes"),
        pytest.param("1h2m3s", timedelta(hours=1, minutes=2, seconds=3), id="all three units"),
        pytest.param("24h", timedelta(hours=24), id="longest"),
    ],
)
def test_duration_is_parsed(text: str, duration: timedelta) -> None:
    assert parse_duration(text, "1s", "24h") == duration


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "not a duration", id="empty"),
        pytest.param("10", "not a duration", id="no unit"),
        pytest.param("10m1h", "not a duration", id="units in the wrong order"),
        pytest.param("1.5h", "not a duration", id="fraction"),
        pytest.param("-10m", "not a duration", id="sign"),
        pytest.param("10m\n", "not a duration", id="trailing newline"),
        pytest.param("٣s", "not a duration", id="digits beyond ASCII"),
        pytest.param("0s", "from 1s to 24h", id="too short"),
        pytest.param("24h1s", "from 1s to 24h", id="too long"),
    ],
)
def test_invalid_duration_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_duration(text, "1s", "24h")


@given(st.integers(1, 24 * 60 * 60))
def test_every_second_of_a_day_is_a_duration(seconds: int) -> None:
    minutes, rest = divmod(seconds, 60)
    expected = timedelta(seconds=seconds)
    for text in (f"{seconds}s", f"{minutes}m{rest}s"):
        assert parse_duration(text, "1s", "24h") == expected
