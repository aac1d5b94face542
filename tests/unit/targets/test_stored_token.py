from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.targets.stored_token import (
    StoredToken,
    TokenTimes,
    checksum,
    format_time,
    parse_time,
)
from tests.support.builders import NOON, UID, after, make_token

texts = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)
moments = st.integers(0, 5).map(after)
tokens = st.builds(
    make_token, access_token=texts, refreshed_at=moments, expires_at=moments, credentials=texts
)


def test_stored_token_repr_hides_the_access_token() -> None:
    assert "t0ken" not in repr(make_token())


def test_stored_token_times_are_without_token_and_source() -> None:
    assert make_token(request="now", source="5ec").times == TokenTimes(
        refreshed_at=NOON,
        expires_at=after(30),
        refresh_at=after(19),
        credentials="c0ffee",
        request="now",
    )


@given(tokens, tokens, st.sampled_from("ab"), st.sampled_from("ab"))
def test_checksum_is_equal_only_for_equal_token_and_resource(
    one: StoredToken, other: StoredToken, uid: str, other_uid: str
) -> None:
    assert (checksum(one, uid) == checksum(other, other_uid)) == ((one, uid) == (other, other_uid))


@given(
    st.sampled_from(
        [
            {"access_token": "0ther"},
            {"refreshed_at": after(seconds=1)},
            {"expires_at": after(31)},
            {"credentials": "other"},
        ]
    ),
    tokens,
)
def test_checksum_changes_with_every_part_of_a_token(
    change: dict[str, Any], token: StoredToken
) -> None:
    changed = replace(token, **change)
    assert (checksum(changed, UID) != checksum(token, UID)) == (changed != token)


def test_checksum_ignores_what_earlier_versions_do_not_write() -> None:
    token = make_token()
    other = replace(token, refresh_at=after(1), request="now", source="5ec")
    assert checksum(other, UID) == checksum(token, UID)


def test_checksum_is_32_hex_digits_and_equal_in_all_releases() -> None:
    assert checksum(make_token(), UID) == "807ee78e6f7e4534db9c8a49d6aa7280"


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - a zone is added below
    st.integers(-14, 14),
)
def test_format_time_writes_utc_and_whole_seconds(moment: datetime, hours: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    written = format_time(aware)
    assert datetime.fromisoformat(written) == aware.replace(microsecond=0)
    assert parse_time(written) == aware.replace(microsecond=0)
    assert written.endswith("Z")
    assert len(written) == len("2026-11-25T12:00:00Z")


def test_format_time_writes_times_as_kubernetes_does() -> None:
    assert format_time(NOON) == "2026-11-25T12:00:00Z"


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-11-25", "2026-11-25T12:00:00", "2026-11-25T12:00:00+00:00", "2026-13-25"],
)
def test_parse_time_refuses_any_other_format(text: str) -> None:
    with pytest.raises(ValueError, match="match format"):
        parse_time(text)
