import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth import (
    MAX_BODY,
    AccessToken,
    parse_response,
    request_body,
)

NOW = datetime(2026, 11, 25, 12, 0, 0, 999_999, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
GOOD = {"access_token": "t0ken", "expires_in": 1800, "token_type": "Bearer"}


def jwt(payload: bytes) -> str:
    return f"h.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.s"


def parse(reply: object, status: int = 200, **headers: str) -> AccessToken:
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return parse_response(status, names, body, NOW)


def failure_of(reply: object, status: int = 200, **headers: str) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        parse(reply, status, **headers)
    return caught.value


def test_request_is_pinecones() -> None:
    assert request_body(Credentials("me", "s3cret"), "https://api.pinecone.io/") == {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_secret": "s3cret",
        "audience": "https://api.pinecone.io/",
    }


def test_times_are_whole_seconds_in_utc_and_repr_hides_the_token() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=2)))
    token = parse_response(200, {}, json.dumps(GOOD).encode(), local)
    assert token.requested_at.isoformat() == "2026-11-25T12:00:00+00:00"
    assert token.expires_at.isoformat() == "2026-11-25T12:30:00+00:00"
    assert token.token_type == "Bearer"
    assert "t0ken" not in repr(token)


@pytest.mark.parametrize(
    ("change", "seconds"),
    [
        pytest.param({}, 1800, id="the reference reply lives half an hour"),
        pytest.param({"expires_in": "60"}, 60, id="a numeric string is accepted"),
        pytest.param({"expires_in": 60.0}, 60, id="a whole float is a whole number"),
        pytest.param({"token_type": "bEARER"}, 1800, id="the type may be in any case"),
        pytest.param({"expires_in": 10**300}, 366 * 86400, id="an endless life is cut"),
        pytest.param({"access_token": jwt(b'{"exp": %d}' % (EPOCH + 60))}, 60, id="exp shortens"),
        pytest.param(
            {"access_token": jwt(b'{"exp": %d.9}' % (EPOCH + 60))}, 60, id="exp is rounded down"
        ),
        pytest.param(
            {"access_token": jwt(b'{"exp": %d}' % (EPOCH + 9999))}, 1800, id="exp never lengthens"
        ),
        pytest.param({"access_token": jwt(b'{"exp": 1e999}')}, 1800, id="infinite exp is ignored"),
        pytest.param({"access_token": jwt(b'{"exp": true}')}, 1800, id="true is no exp"),
        pytest.param({"access_token": jwt(b"[" * 20_000)}, 1800, id="a deep JWT is opaque"),
        pytest.param({"access_token": "a.b.c"}, 1800, id="dots alone make no JWT"),
    ],
)
def test_lifetime(change: dict[str, Any], seconds: int) -> None:
    assert parse(GOOD | change).lifetime == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"", id="an empty body"),
        pytest.param(b"<html>", id="HTML"),
        pytest.param(b"\xff\xfe\x00", id="bytes of no encoding"),
        pytest.param([GOOD], id="a list"),
        pytest.param(b"[" * MAX_BODY, id="deep nesting"),
        pytest.param(json.dumps(GOOD).encode() + b" " * MAX_BODY, id="a body that is too long"),
        pytest.param(GOOD | {"access_token": ""}, id="an empty token"),
        pytest.param(GOOD | {"access_token": 7}, id="a token that is a number"),
        pytest.param(GOOD | {"access_token": "a\r\nb"}, id="a token that breaks a header"),
        pytest.param(GOOD | {"access_token": "\ud800"}, id="a token that no file can hold"),
        pytest.param(GOOD | {"token_type": "mac"}, id="another type"),
        pytest.param(GOOD | {"token_type": None}, id="no type"),
        pytest.param(GOOD | {"expires_in": None}, id="no life"),
        pytest.param(GOOD | {"expires_in": 0}, id="a life of nothing"),
        pytest.param(GOOD | {"expires_in": -1}, id="a negative life"),
        pytest.param(GOOD | {"expires_in": True}, id="a life that is true"),
        pytest.param(GOOD | {"expires_in": 1.5}, id="a life of a fraction"),
        pytest.param(GOOD | {"expires_in": float("nan")}, id="a life that is no number"),
        pytest.param(GOOD | {"expires_in": "1_0"}, id="a life that only Python reads"),
        pytest.param(GOOD | {"expires_in": "9" * 5000}, id="a life of too many digits"),
        pytest.param(GOOD | {"access_token": jwt(b'{"exp": %d}' % EPOCH)}, id="an expired JWT"),
    ],
)
def test_a_reply_that_cannot_be_used_is_invalid(reply: object) -> None:
    error = failure_of(reply)
    assert error.failure is ExchangeFailure.INVALID
    assert "t0ken" not in f"{error}{error!r}"


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (302, ExchangeFailure.INVALID),
        (400, ExchangeFailure.REJECTED),
        (401, ExchangeFailure.REJECTED),
        (403, ExchangeFailure.REJECTED),
        (404, ExchangeFailure.INVALID),
        (429, ExchangeFailure.THROTTLED),
        (500, ExchangeFailure.UNAVAILABLE),
        (503, ExchangeFailure.UNAVAILABLE),
    ],
)
def test_the_status_decides_whatever_the_body_says(status: int, failure: ExchangeFailure) -> None:
    error = failure_of(GOOD | {"error": "access_denied", "error_description": "s3cret"}, status)
    assert (error.failure, error.http_status) == (failure, status)
    assert error.oauth_error == "access_denied"
    assert "s3cret" not in f"{error}{error!r}"


@pytest.mark.parametrize("code", ["s3cret", 7, None, ["invalid_client"]])
def test_an_unknown_error_code_is_not_repeated(code: object) -> None:
    assert failure_of({"error": code}, 401).oauth_error is None


@pytest.mark.parametrize(
    ("date", "exp", "lifetime"),
    [
        pytest.param("Wed, 25 Nov 2026 13:00:00 GMT", EPOCH + 3660, 60, id="an hour ahead"),
        pytest.param("Wed, 25 Nov 2026 11:00:00 GMT", EPOCH - 3540, 60, id="an hour behind"),
        pytest.param("soon", EPOCH + 60, 60, id="no clock"),
    ],
)
def test_exp_is_read_by_the_endpoints_own_clock(date: str, exp: int, lifetime: int) -> None:
    token = parse(GOOD | {"access_token": jwt(b'{"exp": %d}' % exp)}, Date=date)
    assert token.lifetime == timedelta(seconds=lifetime)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({}, None, id="no wish"),
        pytest.param({"Retry_After": "7"}, 7, id="seconds"),
        pytest.param({"retry_after": "7"}, 7, id="seconds in lower case"),
        pytest.param({"Retry_After": "Wed, 25 Nov 2026 12:00:30 GMT"}, 30, id="a date"),
        pytest.param({"Retry_After": "Wed, 25 Nov 2026 11:00:00 GMT"}, None, id="a past date"),
        pytest.param(
            {
                "Retry_After": "Wed, 25 Nov 2026 11:00:30 GMT",
                "Date": "Wed, 25 Nov 2026 11:00:00 GMT",
            },
            30,
            id="a date by a clock that is an hour behind",
        ),
        pytest.param(
            {"x_ratelimit_reset": str(EPOCH + 3620), "Date": "Wed, 25 Nov 2026 13:00:00 GMT"},
            20,
            id="a reset by a clock that is an hour ahead",
        ),
        pytest.param({"Retry_After": "-5"}, None, id="negative seconds"),
        pytest.param({"Retry_After": "0"}, None, id="nothing"),
        pytest.param({"Retry_After": "soon"}, None, id="garbage"),
        pytest.param({"Retry_After": "9" * 400}, 900, id="too long a wait is cut"),
        pytest.param({"x_ratelimit_reset": str(EPOCH + 20)}, 20, id="the limit's reset"),
        pytest.param({"x_ratelimit_reset": str(EPOCH - 20)}, None, id="a past reset"),
        pytest.param({"x_ratelimit_reset": str(EPOCH + 9999)}, 900, id="a late reset is cut"),
        pytest.param(
            {"Retry_After": "7", "x_ratelimit_reset": str(EPOCH + 20)}, 7, id="Retry-After wins"
        ),
        pytest.param(
            {"Retry_After": "soon", "x_ratelimit_reset": str(EPOCH + 20)}, 20, id="unless garbage"
        ),
    ],
)
def test_throttled_waits_as_asked(headers: dict[str, str], seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert failure_of({}, 429, **headers).retry_after == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
replies = st.binary() | st.fixed_dictionaries(
    {},
    optional={
        "access_token": st.just("t0ken") | json_values | st.binary().map(jwt),
        "expires_in": st.just(1800) | json_values,
        "token_type": st.just("Bearer") | json_values,
        "error": json_values,
    },
).map(lambda value: json.dumps(value).encode())


@given(
    st.sampled_from([200, 200, 200, 204, 302, 400, 429, 500, 599]), replies, st.text(), st.text()
)
def test_any_reply_is_a_living_token_or_an_exchange_error(
    status: int, body: bytes, retry_after: str, reset: str
) -> None:
    headers = {"retry-after": retry_after, "x-ratelimit-reset": reset}
    try:
        token = parse_response(status, headers, body, NOW)
    except ExchangeError as error:
        wait = error.retry_after
        assert wait is None or timedelta(0) < wait <= timedelta(minutes=15)
    else:
        assert timedelta(seconds=1) <= token.lifetime <= timedelta(days=366)
