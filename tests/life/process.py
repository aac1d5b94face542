"""The operator's process, assembled as in production except for kopf, HTTP and leader election.

It is the one module of the simulations that imports the operator: a change of the operator's own
interfaces ends here.
"""

import asyncio
import contextlib
import random
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterator,
    Sequence,
)
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Unpack

from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError, ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth import AccessToken, parse_response
from pinecone_token_operator.keys import ObjectRef
from pinecone_token_operator.kube.interfaces import RequestOptions
from pinecone_token_operator.reconcilers.access_token import AccessTokenReconciler
from pinecone_token_operator.reconcilers.gather import Audience
from pinecone_token_operator.reconcilers.refresh import MakeRefresher
from pinecone_token_operator.reconcilers.token_reconciler import Collaborators
from pinecone_token_operator.runtime.assembly import assemble
from pinecone_token_operator.telemetry.metrics import Metrics
from tests.life.connection import Connection
from tests.life.endpoint import Asker, Endpoint, NoConnectionError
from tests.life.refused import RefusedError
from tests.life.small_api import Change
from tests.support.documented import KIND

LOGGER: Final = "pinecone_token_operator"
RESYNC: Final = timedelta(minutes=10)
_WORKERS: Final = 3
# How long the manager waits for the Secrets before it starts to work.
_SECRETS_FIRST: Final = timedelta(seconds=10)

_asker: ContextVar[Asker] = ContextVar("asker")
"""The resource that the current task exchanges credentials for."""


class Process:
    """One process of the operator; what it remembers is lost with it.

    Args:
        connection: to the API server.
        endpoint: the token endpoint.
        namespaces: those that it serves.
        audience: the audience of tokens.
        token_url: the token endpoint's address.
        now: the clock.
        monotonic: seconds of the same clock.
        record: called with the message of each Event.
        rng: spreads load.

    Attributes:
        settled: the UIDs of the resources whose latest reconcile succeeded.
    """

    def __init__(
        self,
        connection: Connection,
        endpoint: Endpoint,
        namespaces: Sequence[str],
        *,
        audience: str,
        token_url: str,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        record: Callable[[str], None],
        rng: random.Random,
    ) -> None:
        self.settled: set[str] = set()
        api = _Api(connection)
        self._loop = assemble(
            api=api,
            writable=api,
            endpoint=_TokenEndpoint(endpoint, now),
            record=lambda _ref, _uid, transition: record(transition.message),
            audience=Audience(audience, token_url),
            namespaces=list(namespaces),
            shard=Shard(),
            keep_tokens=timedelta(),
            metrics=Metrics(),
            env=Env(now=now, monotonic=monotonic, rng=rng),
            kinds=[partial(_Reconciler, self.settled)],
        )

    async def run(self) -> None:
        """Run until cancelled."""
        controller, reflectors = self._loop.controller, self._loop.reflectors.values()
        await controller.list_all()
        async with asyncio.TaskGroup() as group:
            for reflector in reflectors:
                group.create_task(reflector.run())
            group.create_task(controller.resync(RESYNC))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SECRETS_FIRST.total_seconds()):
                    for reflector in reflectors:
                        await reflector.begun.wait()
            await controller.run(_WORKERS)

    def resource_event(self, change: Change) -> None:
        """Take a watch event of a resource, as from kopf."""
        controller = self._loop.controller
        if controller.is_relevant(KIND, change.type, change.object):
            controller.resource_event(KIND, change.type, change.object)

    def problems(self) -> list[str]:
        """Return what makes no progress."""
        return self._loop.workers.problems()


class _Api:
    """The operator's client of the API server, on a simulated connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def request(
        self, method: str, path: str, **options: Unpack[RequestOptions]
    ) -> dict[str, Any]:
        body = options.get("body")
        if method == "PATCH":
            kind = "json" if isinstance(body, list) else "merge"
            assert options.get("content_type") == f"application/{kind}-patch+json"
        with _refusals():
            if ("limit", "1") in options.get("query", ()):
                return await anext(self._connection.pages(path, None, metadata_only=True))
            return await self._connection.request(method, path, body)

    async def pages(
        self,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        accept: str = "",
        received: Callable[[], object] = lambda: None,
    ) -> AsyncIterator[dict[str, Any]]:
        label = dict(query).get("labelSelector")
        metadata_only = "as=PartialObjectMetadataList" in accept
        with _refusals():
            async for page in self._connection.pages(path, label, metadata_only=metadata_only):
                received()
                yield page

    async def watch(
        self,
        path: str,
        *,
        query: Sequence[tuple[str, str]],
        received: Callable[[], object] = lambda: None,
        **_: object,
    ) -> AsyncGenerator[dict[str, Any], None]:
        received()
        events = self._connection.watch(path, int(dict(query)["resourceVersion"]))
        async with contextlib.aclosing(events):
            with _refusals():
                async for event in events:
                    yield event


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except RefusedError as error:
        raise ApiError(error.status, error.reason, error.message) from None


class _TokenEndpoint:
    """The operator's client of the token endpoint, without a network."""

    def __init__(self, endpoint: Endpoint, now: Callable[[], datetime]) -> None:
        self._endpoint = endpoint
        self._now = now

    async def issue(self, credentials: Credentials) -> AccessToken:
        account = credentials.client_id, credentials.client_secret
        try:
            reply = self._endpoint.exchange(_asker.get(), account)
        except NoConnectionError:
            raise ExchangeError(ExchangeFailure.UNAVAILABLE, "no connection") from None
        return parse_response(reply.status, reply.headers, reply.body, self._now())


class _Reconciler(AccessTokenReconciler):
    """Notes which resource is reconciled, and which resources' latest reconciles succeeded."""

    def __init__(
        self, settled: set[str], uses: Collaborators, make_refresher: MakeRefresher
    ) -> None:
        super().__init__(uses, make_refresher)
        self._settled = settled

    async def reconcile(self, ref: ObjectRef) -> datetime | None:
        resource = self._get(ref)
        uid = resource.metadata.uid if resource else ""
        _asker.set(Asker(ref.namespace, ref.name, uid))
        self._settled.discard(uid)
        moment = await super().reconcile(ref)
        state = self._states.get((ref, uid))
        if state is None or state.known.trouble.problem is None:
            self._settled.add(uid)
        return moment
