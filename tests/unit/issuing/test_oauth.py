import base64
import gzip
import json
import re
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth import (
    AccessToken,
    parse_response,
    request_body,
)
from pinecone_token_operator.issuing.parsing import MAX_BODY

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


def test_request_has_the_parameters_of_the_reference() -> None:
    assert request_body(Credentials("me", "s3cret"), "https://api.pinecone.io/") == {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_secret": "s3cret",
        "audience": "https://api.pinecone.io/",
    }


def test_token_times_are_utc_seconds_and_repr_hides_the_token() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=2)))
    token = parse_response(200, {}, json.dumps(GOOD).encode(), local)
    assert token.requested_at.isoformat() == "2026-11-25T12:00:00+00:00"
    assert token.expires_at.isoformat() == "2026-11-25T12:30:00+00:00"
    assert token.token_type == "Bearer"
    assert "t0ken" not in repr(token)


@pytest.mark.parametrize(
    ("change", "seconds"),
    [
        pytest.param({}, 1800, id="reply of the reference"),
        pytest.param({"expires_in": "60"}, 60, id="numeric string"),
        pytest.param({"expires_in": 60.0}, 60, id="whole float"),
        pytest.param({"token_type": "bEARER"}, 1800, id="token type in another case"),
        pytest.param({"expires_in": 10**300}, 86400, id="endless lifetime"),
        pytest.param({"access_token": jwt(b'{"exp": %d}' % (EPOCH + 60))}, 60, id="earlier exp"),
        pytest.param(
            {"access_token": jwt(b'{"exp": %d.9}' % (EPOCH + 60))}, 60, id="fractional exp"
        ),
        pytest.param({"access_token": jwt(b'{"exp": %d}' % (EPOCH + 9999))}, 1800, id="later exp"),
        pytest.param({"access_token": jwt(b'{"exp": 1e999}')}, 1800, id="infinite exp"),
        pytest.param({"access_token": jwt(b'{"exp": true}')}, 1800, id="exp that is true"),
        pytest.param({"access_token": jwt(b"[" * 20_000)}, 1800, id="deeply nested JWT"),
        pytest.param({"access_token": "a.b.c"}, 1800, id="dots that make no JWT"),
    ],
)
def test_lifetime_is_the_shorter_of_expires_in_and_exp(
    change: dict[str, Any], seconds: int
) -> None:
    assert parse(GOOD | change).lifetime == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"", id="empty body"),
        pytest.param(b"<html>", id="HTML"),
        pytest.param(b"\xff\xfe\x00", id="not UTF-8"),
        pytest.param([GOOD], id="list"),
        pytest.param(b"[" * MAX_BODY, id="deep nesting"),
        pytest.param(json.dumps(GOOD).encode() + b" " * MAX_BODY, id="body too long"),
        pytest.param(GOOD | {"access_token": ""}, id="empty token"),
        pytest.param(GOOD | {"access_token": 7}, id="token that is a number"),
        pytest.param(GOOD | {"access_token": "a\r\nb"}, id="token with a line break"),
        pytest.param(GOOD | {"access_token": "\ud800"}, id="token beyond ASCII"),
        pytest.param(GOOD | {"token_type": "mac"}, id="other token type"),
        pytest.param(GOOD | {"token_type": None}, id="no token type"),
        pytest.param(GOOD | {"expires_in": None}, id="no lifetime"),
        pytest.param(GOOD | {"expires_in": 0}, id="lifetime of zero"),
        pytest.param(GOOD | {"expires_in": -1}, id="negative lifetime"),
        pytest.param(GOOD | {"expires_in": True}, id="lifetime that is true"),
        pytest.param(GOOD | {"expires_in": 1.5}, id="fractional lifetime"),
        pytest.param(GOOD | {"expires_in": float("nan")}, id="lifetime that is NaN"),
        pytest.param(GOOD | {"expires_in": "1_0"}, id="number in Python notation"),
        pytest.param(GOOD | {"expires_in": "9" * 5000}, id="number too long for Python"),
        pytest.param(GOOD | {"access_token": jwt(b'{"exp": %d}' % EPOCH)}, id="expired JWT"),
    ],
)
def test_unusable_reply_is_invalid_and_not_quoted(reply: object) -> None:
    error = failure_of(reply)
    assert error.failure is ExchangeFailure.INVALID
    assert "t0ken" not in f"{error}{error!r}"


OAUTH_ERROR = {"error": "access_denied", "error_description": "s3cret"}


@pytest.mark.parametrize(
    ("status", "failure", "words"),
    [
        (302, ExchangeFailure.INVALID, "redirect"),
        (400, ExchangeFailure.REJECTED, "rejected the credentials"),
        (401, ExchangeFailure.REJECTED, "rejected the credentials"),
        (403, ExchangeFailure.REJECTED, "rejected the credentials"),
        (404, ExchangeFailure.INVALID, "no token endpoint at this URL"),
        (405, ExchangeFailure.INVALID, "no token endpoint at this URL"),
        (407, ExchangeFailure.INVALID, "a proxy .* requires a user name"),
        (422, ExchangeFailure.INVALID, "refused the request"),
        (429, ExchangeFailure.THROTTLED, "rate-limited"),
        (500, ExchangeFailure.UNAVAILABLE, "unavailable"),
        (503, ExchangeFailure.UNAVAILABLE, "unavailable"),
    ],
)
def test_status_decides_the_class_of_an_oauth_error(
    status: int, failure: ExchangeFailure, words: str
) -> None:
    error = failure_of(GOOD | OAUTH_ERROR, status)
    assert (error.failure, error.http_status) == (failure, status)
    assert re.search(words, error.summary)
    assert error.oauth_error == "access_denied"
    assert "s3cret" not in f"{error}{error!r}"


@pytest.mark.parametrize(
    ("body", "rejected"),
    [
        pytest.param(OAUTH_ERROR, True, id="code and description"),
        pytest.param({"error": "invalid_client"}, True, id="known code alone"),
        pytest.param({"error": "mfa_required", "error_description": ""}, True, id="unknown code"),
        pytest.param(b"<html>Just a moment</html>", False, id="page of HTML"),
        pytest.param(b"RBAC: access denied", False, id="text"),
        pytest.param(b"", False, id="empty body"),
        pytest.param({"message": "Forbidden"}, False, id="JSON of an API gateway"),
        pytest.param(
            {"status": 403, "error": "Forbidden", "path": "/"}, False, id="JSON of a web framework"
        ),
        pytest.param({"error": {"code": 403}}, False, id="error that is an object"),
        pytest.param({"error": "", "error_description": ""}, False, id="empty code"),
        pytest.param([OAUTH_ERROR], False, id="list"),
        pytest.param(json.dumps(OAUTH_ERROR).encode() + b" " * MAX_BODY, False, id="body too long"),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403])
def test_only_an_oauth_error_blames_the_credentials(
    status: int, body: object, *, rejected: bool
) -> None:
    error = failure_of(body, status)
    assert (error.failure is ExchangeFailure.REJECTED) == rejected
    if not rejected:
        assert error.failure is ExchangeFailure.INVALID
        assert str(error) == (
            "a proxy, firewall or login page answered instead of the token endpoint"
            f" (HTTP {status})"
        )


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("X-GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
    ],
)
def test_compressed_reply_is_read_although_not_asked_for(
    encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    good, bad = (compress(json.dumps(reply).encode()) for reply in (GOOD, OAUTH_ERROR))
    assert parse(good, Content_Encoding=encoding).access_token == "t0ken"
    assert failure_of(bad, 401, Content_Encoding=encoding).failure is ExchangeFailure.REJECTED


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [
        pytest.param("br", b"\x1b\x00", "unsupported Content-Encoding", id="unknown encoding"),
        pytest.param(
            "gzip, gzip", gzip.compress(b"{}"), "unsupported Content-Encoding", id="two encodings"
        ),
        pytest.param("gzip", b"{}", "unsupported Content-Encoding", id="not compressed"),
        pytest.param("gzip", gzip.compress(b"{}")[:11], "is not JSON", id="cut short"),
        pytest.param("gzip", gzip.compress(b" " * 10**8), "longer than 64 KiB", id="bomb"),
    ],
)
def test_compressed_reply_that_cannot_be_read_is_invalid(
    encoding: str, body: bytes, words: str
) -> None:
    error = failure_of(body, Content_Encoding=encoding)
    assert error.failure is ExchangeFailure.INVALID
    assert words in error.summary


@pytest.mark.parametrize(
    ("age", "lifetime"), [("", 1800), ("0", 1800), ("600", 1200), ("-5", 1800), ("soon", 1800)]
)
def test_time_in_a_cache_shortens_the_lifetime(age: str, lifetime: int) -> None:
    assert parse(GOOD, Age=age).lifetime == timedelta(seconds=lifetime)


def test_time_in_a_cache_counts_for_exp_too() -> None:
    # By the `Date` of a cached reply, `exp` seems further away than it is.
    cached = GOOD | {"access_token": jwt(b'{"exp": %d}' % (EPOCH + 1800 - 600))}
    token = parse(cached, Age="600", Date="Wed, 25 Nov 2026 11:50:00 GMT")
    assert token.lifetime == timedelta(seconds=1200)


def test_reply_held_in_a_cache_beyond_its_lifetime_is_expired() -> None:
    assert "has expired" in failure_of(GOOD, Age="9" * 30).summary


@pytest.mark.parametrize("code", ["s3cret", 7, None, ["invalid_client"]])
def test_unknown_error_code_is_not_repeated(code: object) -> None:
    assert failure_of({"error": code}, 401).oauth_error is None


@pytest.mark.parametrize(
    ("date", "exp", "lifetime"),
    [
        pytest.param("Wed, 25 Nov 2026 13:00:00 GMT", EPOCH + 3660, 60, id="an hour ahead"),
        pytest.param("Wed, 25 Nov 2026 11:00:00 GMT", EPOCH - 3540, 60, id="an hour behind"),
        pytest.param("soon", EPOCH + 60, 60, id="no clock"),
    ],
)
def test_exp_is_compared_with_the_endpoints_own_clock(date: str, exp: int, lifetime: int) -> None:
    token = parse(GOOD | {"access_token": jwt(b'{"exp": %d}' % exp)}, Date=date)
    assert token.lifetime == timedelta(seconds=lifetime)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({}, None, id="no header"),
        pytest.param({"Retry_After": "7"}, 7, id="seconds"),
        pytest.param({"retry_after": "7"}, 7, id="header in lower case"),
        pytest.param({"Retry_After": "Wed, 25 Nov 2026 12:00:30 GMT"}, 30, id="date"),
        pytest.param({"Retry_After": "Wed, 25 Nov 2026 11:00:00 GMT"}, None, id="past date"),
        pytest.param(
            {
                "Retry_After": "Wed, 25 Nov 2026 11:00:30 GMT",
                "Date": "Wed, 25 Nov 2026 11:00:00 GMT",
            },
            30,
            id="date of a clock that is behind",
        ),
        pytest.param(
            {"x_ratelimit_reset": str(EPOCH + 3620), "Date": "Wed, 25 Nov 2026 13:00:00 GMT"},
            20,
            id="reset of a clock that is ahead",
        ),
        pytest.param({"Retry_After": "-5"}, None, id="negative seconds"),
        pytest.param({"Retry_After": "0"}, None, id="zero"),
        pytest.param({"Retry_After": "soon"}, None, id="garbage"),
        pytest.param({"Retry_After": "9" * 400}, 900, id="wait that is too long"),
        pytest.param({"x_ratelimit_reset": str(EPOCH + 20)}, 20, id="rate limit reset"),
        pytest.param({"x_ratelimit_reset": str(EPOCH - 20)}, None, id="past reset"),
        pytest.param({"x_ratelimit_reset": str(EPOCH + 9999)}, 900, id="reset that is too late"),
        pytest.param({"Retry_After": "7", "x_ratelimit_reset": str(EPOCH + 20)}, 7, id="both"),
        pytest.param(
            {"Retry_After": "soon", "x_ratelimit_reset": str(EPOCH + 20)},
            20,
            id="both, one of them garbage",
        ),
    ],
)
def test_throttled_client_waits_as_asked(headers: dict[str, str], seconds: int | None) -> None:
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
def test_any_reply_is_a_valid_token_or_an_exchange_error(
    status: int, body: bytes, retry_after: str, reset: str
) -> None:
    headers = {"retry-after": retry_after, "x-ratelimit-reset": reset, "age": reset}
    try:
        token = parse_response(status, headers, body, NOW)
    except ExchangeError as error:
        wait = error.retry_after
        assert wait is None or timedelta(0) < wait <= timedelta(minutes=15)
    else:
        assert timedelta(seconds=1) <= token.lifetime <= timedelta(days=1)
