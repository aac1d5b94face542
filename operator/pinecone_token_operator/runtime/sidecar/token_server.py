"""The loopback token endpoint: answers token requests of local SDKs with the current token.

Any client that connects gets the token, so it listens on loopback only. A page in a browser on the
same machine can connect too: its requests name another host, after DNS rebinding, or an origin.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

from pinecone_token_operator.config import hosts
from pinecone_token_operator.issuing import parsing
from pinecone_token_operator.runtime.sidecar.current import Current
from pinecone_token_operator.runtime.sidecar.http_server import HttpRequest, HttpResponse

PATH: Final = "/oauth/token"
_FORM: Final = "application/x-www-form-urlencoded"
# RFC 6749 section 5.1: nobody may keep a response with a token.
_NOT_STORED: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenServer:
    """Answers token requests as Pinecone's endpoint does.

    Args:
        current: the token.
    """

    def __init__(self, current: Current) -> None:
        self._current = current

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request."""
        if not _is_local(request.headers.get("host", "")) or "origin" in request.headers:
            return _error(HTTPStatus.FORBIDDEN, "access_denied", "use a loopback address as host")
        if request.path != PATH:
            return _error(HTTPStatus.NOT_FOUND, "not_found", f"POST to {PATH}")
        if request.method != "POST":
            return _error(
                HTTPStatus.METHOD_NOT_ALLOWED, "invalid_request", "use POST", {"Allow": "POST"}
            )
        grant = _grant_type(request)
        if grant is None:
            return _error(
                HTTPStatus.BAD_REQUEST, "invalid_request", "send grant_type as JSON or as a form"
            )
        if grant != "client_credentials":
            return _error(
                HTTPStatus.BAD_REQUEST, "unsupported_grant_type", "use client_credentials"
            )
        return self._token()

    def _token(self) -> HttpResponse:
        token, seconds = self._current.valid(), int(self._current.remaining().total_seconds())
        if token is None or seconds < 1:
            wait = str(int(self._current.retry_after().total_seconds()))
            return _error(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "there is no valid token; retry later",
                {"Retry-After": wait},
            )
        return _json(
            HTTPStatus.OK,
            {
                "access_token": token.access_token,
                "expires_in": seconds,
                "token_type": "Bearer",
            },
        )


def _is_local(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return hosts.is_loopback(name)


def _grant_type(request: HttpRequest) -> str | None:
    """Return the request's grant type; None if it has none."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if media_type == _FORM:
            return parse_qs(request.body.decode("ascii"), max_num_fields=32)["grant_type"][0]
        return str((parsing.json_object(request.body) or {})["grant_type"])
    except (ValueError, KeyError):
        return None


def _error(
    status: HTTPStatus,
    code: str,
    description: str,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    return _json(status, {"error": code, "error_description": description}, headers)


def _json(
    status: HTTPStatus, body: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> HttpResponse:
    return HttpResponse(
        status,
        json.dumps(body).encode(),
        "application/json",
        {**_NOT_STORED, **(headers or {})},
    )
