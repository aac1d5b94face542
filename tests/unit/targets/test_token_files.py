"""A token as files: what is in them, and what is trusted after a restart."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.targets.stored_token import StoredToken
from pinecone_token_operator.targets.token_files import STATE, is_ours, read_token, token_files

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
TOKEN = StoredToken(
    access_token="abc.def",
    token_type="Bearer",
    refreshed_at=NOON,
    expires_at=NOON + timedelta(minutes=30),
    refresh_at=NOON + timedelta(minutes=20),
    credentials="0" * 32,
)
SALT = "5a17"


def test_files_have_the_keys_of_a_target_secret() -> None:
    files = token_files(TOKEN, {"authorization": "Bearer ${access_token}"}, SALT)

    assert is_ours(files)
    assert {name: text.decode() for name, text in files.items() if name != STATE} == {
        "access_token": "abc.def",
        "token_type": "Bearer",
        "expires_at": "2026-11-27T12:30:00Z",
        "authorization": "Bearer abc.def",
    }
    assert b"abc.def" not in files[STATE]


@given(
    seconds=st.integers(2, 86_400),
    text=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
)
def test_token_is_read_back_as_it_was_written(seconds: int, text: str) -> None:
    token = replace(TOKEN, access_token=text, expires_at=NOON + timedelta(seconds=seconds))

    assert read_token(token_files(token, {}, SALT)) == (token, SALT)


def changed(**state: object) -> dict[str, bytes]:
    files = token_files(TOKEN, {}, SALT)
    return files | {STATE: json.dumps(json.loads(files[STATE]) | state).encode()}


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="nothing"),
        pytest.param(token_files(TOKEN, {}, SALT) | {"access_token": b"abc"}, id="half a token"),
        pytest.param(token_files(TOKEN, {}, SALT) | {"access_token": b"\xff"}, id="binary token"),
        pytest.param(token_files(TOKEN, {}, SALT) | {STATE: b""}, id="empty state"),
        pytest.param(token_files(TOKEN, {}, SALT) | {STATE: b"[]"}, id="state of another type"),
        pytest.param(token_files(TOKEN, {}, SALT) | {STATE: b"[" * 100_000}, id="nested state"),
        pytest.param(changed(**{"expires-at": "2026-11-27T12:31:00Z"}), id="later expiry"),
        pytest.param(changed(**{"expires-at": "soon"}), id="expiry that is no time"),
        pytest.param(changed(credentials="1" * 32), id="other credentials"),
        pytest.param(changed(salt="other"), id="other salt"),
        pytest.param(changed(checksum=None), id="no checksum"),
        pytest.param(
            token_files(replace(TOKEN, expires_at=NOON + timedelta(days=2)), {}, SALT),
            id="a lifetime that no endpoint issues",
        ),
        pytest.param(token_files(replace(TOKEN, expires_at=NOON), {}, SALT), id="no lifetime"),
    ],
)
def test_damaged_files_are_not_trusted(files: dict[str, bytes]) -> None:
    assert read_token(files) is None
