"""kopf adapter: forwards watch events of one kind. The only module that imports kopf."""

import logging
import ssl
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Final, Protocol

import aiohttp

from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.kube.paths import ApiResource
from pinecone_token_operator.watch.request_gate import RequestGate

# kopf also accepts objects of the Kubernetes client, and imports the client for them if it is
# installed: 11 MB and a quarter of the startup time. Nothing here passes such objects.
_client = sys.modules.get("kubernetes")
sys.modules["kubernetes"] = None  # type: ignore[assignment]  # which Python takes for not installed
try:
    import kopf
finally:
    if _client is None:
        del sys.modules["kubernetes"]
    else:
        sys.modules["kubernetes"] = _client

Feed = Callable[[str | None, dict[str, Any]], object]
"""Takes an event's type (ADDED, MODIFIED, DELETED) and its object."""

# The gate has its own limits, and waits for as long as a namespace cannot be served.
REQUEST_TIMEOUT: Final = timedelta(hours=1)
# Seconds between the attempts of the requests that the gate passes through, which are those of
# discovery; after these kopf ends, and the supervisor restarts it.
ERROR_BACKOFFS: Final = (1, 2, 4, 8)
# How long kopf keeps a task for an object after its event: a burst of events is a burst of tasks.
WORKER_IDLE: Final = timedelta(seconds=0.1)

# kopf warns at each start that a thread handles no signals, logs each retry as an error, and logs a
# traceback for each task that its end passes through. The supervisor logs why it ended.
logging.getLogger("kopf").setLevel(logging.CRITICAL)


class WatchApi(Requests, Protocol):
    """The API server. `session` is called in kopf's thread and event loop."""

    @property
    def server(self) -> str:
        """The API server's address."""
        ...

    @property
    def tls(self) -> ssl.SSLContext:
        """The trust that a new session uses; another object once the cluster's CA has changed."""
        ...

    def session(
        self, around: aiohttp.ClientMiddlewareType
    ) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
        """Open a session with a middleware around each request."""
        ...


class KopfAdapter:
    """One run of kopf. All callbacks are called in kopf's thread and must not block.

    Args:
        api: the API server.
        resource: the kind to watch.
        namespaces: the namespaces to watch; none means all, or a cluster-scoped kind.
        gate: the middleware around kopf's requests.
        feed: takes each event that the gate passes on.
        inactivity: how long a watch may receive no event before kopf reopens it.
        watch_seconds: after how many seconds the API server ends a watch and kopf reopens it.
    """

    def __init__(
        self,
        api: WatchApi,
        resource: ApiResource,
        namespaces: tuple[str, ...],
        *,
        gate: RequestGate,
        feed: Feed,
        inactivity: timedelta,
        watch_seconds: int,
    ) -> None:
        self._api = api
        self._resource = resource
        self._namespaces = namespaces
        self._gate = gate
        self._feed = feed
        self._inactivity = inactivity
        self._watch_seconds = watch_seconds

    async def run(self) -> None:
        """Run kopf in the current event loop until it ends."""
        registry = kopf.OperatorRegistry()
        resource = self._resource
        # One session for each run: kopf considers a session that got a 401 spent, and ends when the
        # login returns the same again. A new one at each login would be retried without any delay.
        async with self._api.session(self._gate.send) as session:
            self._gate.session = session

            @kopf.on.login(registry=registry)
            async def log_in(**_: object) -> kopf.AiohttpSession:
                return kopf.AiohttpSession(server=self._api.server, aiohttp_session=session)

            @kopf.on.event(resource.group, resource.version, resource.plural, registry=registry)
            async def forward(event: kopf.RawEvent, **_: object) -> None:
                self._feed(event["type"], dict(event["object"]))

            # By default kopf looks up the user's name, which a container may not have, and the
            # host's name in DNS.
            identity: Any = "pinecone-token-operator"
            await kopf.operator(
                registry=registry,
                settings=self._settings(),
                identity=identity,
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
            )

    def _settings(self) -> kopf.OperatorSettings:
        settings = kopf.OperatorSettings()
        # Scanning would watch CustomResourceDefinitions and namespaces, which takes rights on both.
        settings.scanning.disabled = True
        settings.posting.enabled = False
        settings.peering.standalone = True
        settings.process.ultimate_exiting_timeout = None
        settings.queueing.idle_timeout = WORKER_IDLE.total_seconds()
        settings.persistence.diffbase_storage = _NoDiffBase()
        settings.persistence.progress_storage = _NoProgress()
        settings.networking.request_timeout = REQUEST_TIMEOUT.total_seconds()
        settings.networking.error_backoffs = ERROR_BACKOFFS
        settings.watching.inactivity_timeout = self._inactivity.total_seconds()
        settings.watching.server_timeout = self._watch_seconds
        return settings


class _NoDiffBase(kopf.DiffBaseStorage):
    """Compares nothing. kopf builds and compares two states for each event, used or not."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        raise NotImplementedError("there are no change handlers")


class _NoProgress(kopf.ProgressStorage):
    """Stores nothing, because event handlers make no progress."""

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        raise NotImplementedError("there are no change handlers")

    def purge(self, **_: object) -> None:
        pass

    def touch(self, **_: object) -> None:
        pass

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence
