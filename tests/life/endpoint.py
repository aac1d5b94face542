"""A token endpoint without a network: it answers with a status, headers and a body."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

Account = tuple[str, str]
"""A client id and a client secret."""

GOOD_SECRETS: Final = ("client-secret-one", "client-secret-two")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Asker:
    """The resource that a request is made for."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Issue:
    """What a token was issued for, when, and until when it is valid."""

    account: Account
    at: datetime
    expires_at: datetime


class NoConnectionError(Exception):
    """The endpoint could not be reached."""


# Responses that contain no token.
FAILURES: Final[dict[str, Reply]] = {
    "unavailable": Reply(503, {}, b"<html>"),
    "global limit": Reply(500, {}, b'{"error": "access_denied"}'),
    "rate-limited": Reply(429, {}, b""),
    "rate-limited for 70 s": Reply(429, {"Retry-After": "70"}, b""),
    "rejecting": Reply(403, {}, b'{"error": "unauthorized_client"}'),
    "invalid token": Reply(200, {}, b'{"access_token": 7}'),
    "other token type": Reply(
        200, {}, b'{"access_token": "x", "token_type": "mac", "expires_in": 60}'
    ),
}
_REJECTED: Final = Reply(401, {}, b'{"error": "access_denied"}')
DOWN: Final = "down"
OK: Final = "ok"


class Endpoint:
    """Issues tokens for known client secrets.

    Args:
        now: the clock.
        asked: called with each request before anything else.
        gave: called with each token.

    Attributes:
        mode: `OK`, `DOWN` or the name of a failure.
        limited: the responses to some client ids, whatever the mode.
        lifetime: of the next tokens.
        requests: the client ids of all requests, in order.
        issued: every token.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        asked: Callable[[Asker, Account], None],
        gave: Callable[[Asker, str], None],
    ) -> None:
        self._now = now
        self._asked = asked
        self._gave = gave
        self.mode = OK
        self.lifetime = timedelta(minutes=30)
        self.limited: Mapping[str, Reply] = {}
        self.requests: list[str] = []
        self.issued: dict[str, Issue] = {}

    def exchange(self, asker: Asker, account: Account) -> Reply:
        """Return the response to an exchange.

        Raises:
            NoConnectionError: the endpoint is down.
        """
        self._asked(asker, account)
        self.requests.append(account[0])
        if account[0] in self.limited:
            return self.limited[account[0]]
        if self.mode == DOWN:
            raise NoConnectionError
        if self.mode in FAILURES:
            return FAILURES[self.mode]
        if account[1] not in GOOD_SECRETS:
            return _REJECTED
        token = f"issued-token-{len(self.issued):06}"
        seconds = int(self.lifetime.total_seconds())
        body = {"access_token": token, "token_type": "Bearer", "expires_in": seconds}
        self.issued[token] = Issue(account, self._now(), self._now() + self.lifetime)
        self._gave(asker, token)
        return Reply(200, {}, json.dumps(body).encode())
