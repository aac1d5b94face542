"""What users read when a token request or a write fails, rendered by the operator's functions."""

import asyncio
import random
import ssl
from datetime import timedelta
from typing import Any, Final, Unpack

import httpx

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.api.conditions import Problem
from pinecone_token_operator.config.proxies import Proxy
from pinecone_token_operator.config.settings import Endpoint
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError, ExchangeError, WriteFailed
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth import AccessToken, parse_response
from pinecone_token_operator.issuing.transport_errors import exchange_error
from pinecone_token_operator.keys import ObjectRef
from pinecone_token_operator.kube.interfaces import RequestOptions
from pinecone_token_operator.policies.token_chain import TokenPlan
from pinecone_token_operator.reconcilers.gather import Audience, Gatherer, Reading, read_problem
from pinecone_token_operator.reconcilers.issue import IssueStep
from pinecone_token_operator.targets.secret_store import SecretStore
from pinecone_token_operator.targets.target import Target, read_target
from tests.support.builders import (
    NOON,
    encode,
    make_assignment,
    make_known,
    make_resource,
    make_secret,
    make_spec,
    make_target,
    make_token,
    make_token_input,
)
from tests.support.merge_patch import merge

_ENV: Final = Env(now=lambda: NOON, monotonic=lambda: 0.0, rng=random.Random(0))
_ENDPOINT: Final = Endpoint("https://login.example/oauth/token", "https://api.example/", "2025-04")
_MERGE: Final = make_resource(target={"creationPolicy": "Merge"})
_KEY: Final = ("shop", "search")


class _Versions:
    """Versions that nothing has reported."""

    def resource_version(self, key: tuple[str, str]) -> str | None:
        del key
        return None

    def identity(self, key: tuple[str, str]) -> tuple[str, str] | None:
        del key
        return None

    def note(self, *_: object, **__: object) -> None:
        pass


class _Replies:
    """An API server that gives one reply to everything."""

    def __init__(self, reply: dict[str, Any] | ApiError) -> None:
        self._reply = reply

    async def request(
        self, method: str, path: str, **options: Unpack[RequestOptions]
    ) -> dict[str, Any]:
        del method, path, options
        if isinstance(self._reply, ApiError):
            raise self._reply
        return self._reply


class _Fails:
    """An issuer that fails."""

    def __init__(self, error: ExchangeError) -> None:
        self._error = error

    async def issue(
        self, credentials: Credentials, remaining: timedelta, caller: ObjectRef | None = None
    ) -> AccessToken:
        del credentials, remaining, caller
        raise self._error


def _gatherer(api: _Replies) -> Gatherer:
    versions = _Versions()
    return Gatherer(
        api=api,
        store=SecretStore(api=api, versions=versions),
        versions=versions,
        audience=Audience(_ENDPOINT.audience, _ENDPOINT.token_url),
        env=_ENV,
    )


def issue_problem(error: ExchangeError) -> Problem:
    """Return the problem that a failed token request leaves."""
    step = IssueStep(
        issuer=_Fails(error),
        observe_lateness=lambda _: None,
        env=_ENV,
    )
    reading = Reading(make_known(), Credentials("id", "secret"))
    plan = TokenPlan(why="an example")
    known = asyncio.run(step.issue(make_assignment(), reading, make_token_input(), plan))
    return _required(known.attempts.problem)


def credentials_problem(reply: dict[str, Any] | ApiError) -> Problem:
    """Return the problem that reading the credentials finds."""
    gatherer = _gatherer(_Replies(reply))
    known = asyncio.run(gatherer.read_credentials(make_assignment(), make_known())).known
    return _required(known.credentials if isinstance(known.credentials, Problem) else None)


def credentials_problems() -> list[str]:
    """Return what users read when the credentials cannot be read or used."""
    replies: list[dict[str, Any] | ApiError] = [
        ApiError(404, "NotFound", ""),
        ApiError(403, "Forbidden", ""),
        ApiError(503, "ServiceUnavailable", ""),
        ApiError(0, "Timeout", ""),
    ]
    replies += [
        make_secret() | {"data": {"client_id": encode("id")} | rest}
        for rest in ({}, {"client_secret": encode(" ")}, {"client_secret": "not base64"})
    ]
    replies.append(make_secret() | {"type": "helm.sh/release.v1"})
    return [_line(credentials_problem(reply)) for reply in replies]


def read_problems() -> list[str]:
    """Return what users read when a target cannot be read."""
    errors = (ApiError(403, "Forbidden", ""), ApiError(503, "ServiceUnavailable", ""))
    return [_line(read_problem(error, _KEY)) for error in errors]


def request_problems() -> list[str]:
    """Return what users read when a token request gets an unusable reply or none."""
    replies: tuple[tuple[int, dict[str, str], bytes], ...] = (
        (503, {}, b""),
        (429, {"Retry-After": "60"}, b""),
        (401, {}, b'{"error": "invalid_client"}'),
        (403, {}, b'{"error": "brand_new", "error_description": "."}'),
        (403, {}, b"<html>"),
        (407, {}, b""),
        (404, {}, b""),
        (418, {}, b""),
        (302, {}, b""),
        (100, {}, b""),
        (200, {}, b"<html>"),
        (200, {"Content-Encoding": "br"}, b""),
        (200, {}, b" " * 70_000),
        (200, {}, b"{}"),
        (200, {}, b'{"access_token": "t"}'),
        (200, {}, b'{"access_token": "t", "token_type": "Bearer"}'),
        (
            200,
            {"Age": "60"},
            b'{"access_token": "t", "token_type": "Bearer", "expires_in": 60}',
        ),
    )
    found = []
    for status, headers, body in replies:
        try:
            parse_response(status, headers, body, NOON)
        except ExchangeError as error:
            found.append(_line(issue_problem(error)))
    return found


def connection_problems() -> list[str]:
    """Return what users read when the token endpoint cannot be reached."""
    via_proxy = Endpoint(
        _ENDPOINT.token_url, _ENDPOINT.audience, "2025-04", proxy=Proxy("https", "proxy", 3128)
    )
    untrusted = ssl.SSLCertVerificationError(1, "no")
    untrusted.verify_code = 20
    expired = ssl.SSLCertVerificationError(1, "no")
    expired.verify_code = 10
    errors: tuple[tuple[Exception, Endpoint], ...] = (
        (httpx.ConnectTimeout(""), _ENDPOINT),
        (httpx.ConnectTimeout(""), via_proxy),
        (httpx.ReadTimeout(""), _ENDPOINT),
        (httpx.ProxyError("407 Proxy Authentication Required"), via_proxy),
        (httpx.ProxyError("502 Bad Gateway"), via_proxy),
        (OSError("refused"), _ENDPOINT),
        (OSError("refused"), via_proxy),
        (untrusted, _ENDPOINT),
        (untrusted, via_proxy),
        (expired, _ENDPOINT),
        (ssl.SSLError(1, "no"), _ENDPOINT),
        (httpx.ReadError(""), _ENDPOINT),
        (httpx.RemoteProtocolError(""), _ENDPOINT),
        (httpx.InvalidURL(""), _ENDPOINT),
    )
    return [_line(issue_problem(exchange_error(error, endpoint))) for error, endpoint in errors]


def refused_writes() -> list[str]:
    """Return what users read when the API server refuses a write of a target."""
    forbidden = "secrets is forbidden: "
    immutable = read_target(make_secret() | {"immutable": True})
    cases: tuple[tuple[int, str, str, PineconeAccessToken | None, Target | None], ...] = (
        (403, "Forbidden", f"{forbidden}exceeded quota: few, ...", None, None),
        (403, "Forbidden", f"{forbidden}failed quota: few: ...", None, None),
        (403, "Forbidden", f"{forbidden}ValidatingAdmissionPolicy 'no.secrets' ...", None, None),
        (403, "Forbidden", 'admission webhook "a.example" denied the request', None, None),
        (500, "InternalError", 'failed calling webhook "a.example": ...', None, None),
        (403, "Forbidden", f'{forbidden}User "operator" cannot create', None, None),
        (403, "Forbidden", f'{forbidden}User "operator" cannot patch', None, make_target()),
        (
            403,
            "Forbidden",
            f"{forbidden}cannot set an ownerRef on a resource you can't delete",
            None,
            None,
        ),
        (403, "Forbidden", f"{forbidden}because it is being terminated", None, None),
        (403, "Forbidden", "no", None, None),
        (413, "RequestEntityTooLarge", "", None, None),
        (422, "Invalid", "", None, None),
        (422, "Invalid", "", None, immutable),
        (422, "Invalid", "", _MERGE, immutable),
        (500, "InternalError", "", None, None),
    )
    return [
        f"TargetNotWritable: {_refusal(ApiError(status, reason, message), resource, target)}"
        for status, reason, message, resource, target in cases
    ]


def _refusal(error: ApiError, resource: PineconeAccessToken | None, target: Target | None) -> str:
    store = SecretStore(api=_Replies(error), versions=_Versions())
    try:
        asyncio.run(store.deliver(make_spec(resource), target, make_token(access_token="new")))
    except WriteFailed as failure:
        return str(failure)
    raise AssertionError("the write worked")


def altered_writes() -> list[str]:
    """Return what users read when admission changes what is written."""
    changed = merge(make_secret(), {"data": {"access_token": encode("other")}})
    stripped = merge(make_secret(), {"metadata": {"labels": None}})
    found = []
    for reply in (changed, stripped):
        store = SecretStore(api=_Replies(reply), versions=_Versions())
        delivery = asyncio.run(store.deliver(make_spec(), None, make_token()))
        found += [f"TargetAltered: {delivery.altered}"] if delivery.altered else []
        found += [f"TargetIncomplete: {delivery.left_out}"] if delivery.left_out else []
    return found


def _required(problem: Problem | None) -> Problem:
    if problem is None:
        raise AssertionError("the example has no problem")
    return problem


def _line(problem: Problem) -> str:
    return f"{problem.reason}: {problem.message}"
