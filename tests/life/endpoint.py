"""A token endpoint without a network: its replies are bytes, which the operator's parser reads."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth import AccessToken, parse_response

GOOD_SECRETS: Final = ("client-secret-one", "client-secret-two")

# Status, headers and body of what is no token.
TROUBLES: Final[dict[str, tuple[int, dict[str, str], bytes]]] = {
    "unavailable": (503, {}, b"<html>"),
    "access denied by a limit": (500, {}, b'{"error": "access_denied"}'),
    "throttled": (429, {}, b""),
    "throttled for a while": (429, {"Retry-After": "70"}, b""),
    "rejecting": (403, {}, b'{"error": "unauthorized_client"}'),
    "nonsense": (200, {}, b'{"access_token": 7}'),
    "another type": (200, {}, b'{"access_token": "x", "token_type": "mac", "expires_in": 60}'),
}
DOWN: Final = "down"
OK: Final = "ok"


@dataclass(frozen=True, slots=True)
class Issue:
    """What a token was issued for, when, and until when."""

    credentials: tuple[str, str]
    at: datetime
    expires_at: datetime


class Endpoint:
    """Exchanges what it knows.

    Args:
        now: the clock.
        asked: told each request, before anything else.
        gave: told each token.

    Attributes:
        mode: `ok`, `down` or a trouble.
        lifetime: of the next tokens.
        issued: each token.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        asked: Callable[[Credentials], None],
        gave: Callable[[str], None],
    ) -> None:
        self._now = now
        self._asked = asked
        self._gave = gave
        self.mode = OK
        self.lifetime = timedelta(minutes=30)
        self.issued: dict[str, Issue] = {}

    async def exchange(self, credentials: Credentials) -> AccessToken:
        self._asked(credentials)
        if self.mode == DOWN:
            raise ExchangeError(ExchangeFailure.UNAVAILABLE, "no connection to the token endpoint")
        if self.mode in TROUBLES:
            return parse_response(*TROUBLES[self.mode], self._now())
        if credentials.client_secret not in GOOD_SECRETS:
            return parse_response(401, {}, b'{"error": "access_denied"}', self._now())
        token = f"issued-token-{len(self.issued):06}"
        body = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self.lifetime.total_seconds()),
        }
        read = parse_response(200, {}, json.dumps(body).encode(), self._now())
        # `expires_at` is counted in whole seconds from the request; the issue's is the truth.
        self.issued[token] = Issue(
            (credentials.client_id, credentials.client_secret),
            self._now(),
            self._now() + self.lifetime,
        )
        self._gave(token)
        return read
