import base64
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.leaks import find_leaks

SECRET = "pcsk-" + uuid.uuid4().hex


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(SECRET, id="the secret itself"),
        pytest.param(f"bad {SECRET}.\nMore.", id="the secret in a text"),
        pytest.param(encoded(SECRET), id="base64"),
        pytest.param(encoded(f"a{SECRET}b"), id="base64 with one byte before"),
        pytest.param(encoded(f"ab{SECRET}c"), id="base64 with two bytes before"),
        pytest.param(encoded(f"abc{SECRET}d"), id="base64 with three bytes before"),
        pytest.param(json.dumps({"data": encoded(f'{{"token":"{SECRET}"}}')}), id="base64 in JSON"),
    ],
)
def test_leak_is_found(text: str) -> None:
    assert find_leaks({"log": text, "status": "all is well"}, ["other-secret", SECRET]) == ["log"]


@given(st.binary(max_size=9), st.text(min_size=8), st.binary(max_size=9))
def test_leak_is_found_in_base64_at_any_alignment(before: bytes, secret: str, after: bytes) -> None:
    whole = before + secret.encode() + after
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert find_leaks({"text": encode(whole).decode()}, [secret]) == ["text"]


def test_leak_is_found_when_escaped_in_json() -> None:
    secret = 'quote"back\\slash-ü'
    assert find_leaks({"log": json.dumps({"message": secret})}, [secret]) == ["log"]


@pytest.mark.parametrize(
    "secrets",
    [
        pytest.param([], id="no secrets given"),
        pytest.param([""], id="the secret is empty"),
        pytest.param([uuid.uuid4().hex], id="the text contains another secret"),
        pytest.param(["~"], id="the secret is too short for base64"),
    ],
)
def test_no_leak_is_found(secrets: list[str]) -> None:
    assert find_leaks({"log": f"{SECRET} {encoded(SECRET)}"}, secrets) == []
