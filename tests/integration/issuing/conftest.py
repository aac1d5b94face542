from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pinecone_token_operator.config.settings import Endpoint
from pinecone_token_operator.issuing.oauth_client import IDLE_TIMEOUT, TokenClient
from tests.support.token_endpoint import TokenEndpoint

MakeClient = Callable[..., TokenClient]


@pytest.fixture
def token_endpoint(certificates: Path) -> Iterator[TokenEndpoint]:
    """Return an endpoint for tests of the client alone, which need no cluster."""
    with TokenEndpoint(directory=certificates) as running:
        yield running


@pytest_asyncio.fixture
async def make_client(token_endpoint: TokenEndpoint) -> AsyncIterator[MakeClient]:
    made = []

    def make(
        max_concurrent: int = 4,
        timeout: float = 10.0,
        idle_timeout: timedelta = IDLE_TIMEOUT,
        **place: Any,
    ) -> TokenClient:
        usual = Endpoint(
            token_endpoint.url, "https://api.pinecone.io/", "2025-04", token_endpoint.ca_bundle
        )
        client = TokenClient(
            replace(usual, **place),
            max_concurrent,
            lambda: datetime.now(UTC),
            request_timeout=timedelta(seconds=timeout),
            idle_timeout=idle_timeout,
        )
        made.append(client)
        return client

    yield make
    for client in made:
        await client.aclose()
