"""Calls a URL after each renewal, for applications that have to be notified of a new token."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

import httpx

from pinecone_token_operator.backoff import backoff
from pinecone_token_operator.config import settings, sidecar_settings
from pinecone_token_operator.env import Env
from pinecone_token_operator.issuing.outbound_proxy import httpx_proxy
from pinecone_token_operator.issuing.trust import Trust
from pinecone_token_operator.runtime.sidecar.current import CurrentToken
from pinecone_token_operator.targets.stored_token import format_time

_TIMEOUT: Final = timedelta(seconds=5)
_ATTEMPTS: Final = 5
_FIRST: Final = timedelta(seconds=1)
_LONGEST: Final = timedelta(seconds=30)

logger = logging.getLogger(__name__)


class WebhookCaller:
    """Posts the expiry of each new token, never the token; calls never delay a refresh.

    Args:
        webhook: what to call.
        endpoint: has the CA certificates to trust.
        env: the random numbers.
    """

    def __init__(
        self, webhook: sidecar_settings.Webhook, endpoint: settings.Endpoint, env: Env
    ) -> None:
        self._webhook = webhook
        self._trust = Trust(endpoint.ca_bundle, endpoint.ca_directory)
        self._env = env
        self._token: CurrentToken | None = None
        self._renewed = asyncio.Event()

    def renewed(self, token: CurrentToken) -> None:
        """Have the URL called."""
        self._token = token
        self._renewed.set()

    async def run(self) -> None:
        """Call the URL after each renewal; a newer one replaces a call that still fails."""
        while True:
            await self._renewed.wait()
            self._renewed.clear()
            for failures in range(_ATTEMPTS):
                problem = await self._call()
                if not problem:
                    break
                if failures + 1 == _ATTEMPTS:
                    logger.warning(
                        "The webhook failed %d times (%s); the next renewal calls it again",
                        _ATTEMPTS,
                        problem,
                    )
                    break
                delay = backoff(failures, first=_FIRST, longest=_LONGEST, rng=self._env.rng)
                seconds = delay.total_seconds()
                logger.warning("The webhook failed (%s); retrying in %.1f s", problem, seconds)
                await asyncio.sleep(seconds)
                if self._renewed.is_set():
                    break

    async def _call(self) -> str:
        """Call the URL once; return what went wrong, in our own words, or nothing."""
        if self._token is None:
            raise AssertionError("there was no renewal")
        body = {"event": "renewed", "expires_at": format_time(self._token.expires_at)}
        context = self._trust.context()
        try:
            async with (
                asyncio.timeout(_TIMEOUT.total_seconds()),
                httpx.AsyncClient(
                    verify=context,
                    proxy=httpx_proxy(self._webhook.proxy, context),
                    trust_env=False,  # the settings hold what the environment says
                ) as client,
                # The response's body is not read.
                client.stream("POST", self._webhook.url, json=body) as response,
            ):
                return "" if response.is_success else f"HTTP {response.status_code}"
        except (httpx.TimeoutException, TimeoutError):
            return "timed out"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            return type(error).__name__
