"""The one thing that issuing offers: credentials in, access token out."""

from datetime import timedelta
from typing import Protocol

from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth import AccessToken
from pinecone_token_operator.keys import ObjectRef


class TokenEndpoint(Protocol):
    """Sends one token request per call."""

    async def issue(self, credentials: Credentials) -> AccessToken:
        """Return a new access token.

        Raises:
            ExchangeError: no token was issued.
        """
        ...


class Issuer(Protocol):
    """Issues access tokens; knows neither resources nor their state."""

    async def issue(
        self, credentials: Credentials, remaining: timedelta, caller: ObjectRef | None = None
    ) -> AccessToken:
        """Return a new access token.

        Args:
            credentials: what to exchange.
            remaining: the lifetime that the caller's current token has left; zero or less if it
                has no valid token.
            caller: the resource that the token is for; None if the process has only one caller.

        Raises:
            ExchangeError: no token was issued; `retry_after` and `hold` are set if the client id
                is rate-limited.
        """
        ...
