"""The simulated world: a cluster, a token endpoint, the operator, and what others do to them."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from tests.life.connection import Connection
from tests.life.endpoint import OK, Account, Asker, Endpoint
from tests.life.managed_fields import USER
from tests.life.oracle import Oracle
from tests.life.paths import NAMESPACE, is_resource, parse, secrets_path, tokens_path
from tests.life.process import LOGGER, Process
from tests.life.refused import RefusedError
from tests.life.small_api import Body, Call, Change, SmallApi, Snapshot
from tests.life.time_travel import TimeTravel
from tests.support.documented import GROUP, KIND, REFRESH_REQUESTED_AT, VERSION
from tests.support.encoding import encode

START: Final = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
# What a lost event changes is found by the next resync, at most 11 min later.
_RESYNCED_WITHIN: Final = timedelta(minutes=12)
# Two resources cause fewer, whatever happens.
_MOST_REQUESTS_AT_ONCE: Final = 100


class World:
    """The world, in a time that passes on demand.

    Args:
        namespaces: those that the operator serves.
        called: called with each request to the API server and its response.

    Attributes:
        namespaces: as above.
        most_at_once: how many requests of a process at one moment are a hot loop, which ends the
            simulation.
        loop: the operator runs in it.
        api: the cluster.
        connection: the operator's connection to it.
        endpoint: the token endpoint.
        audience: the audience of tokens that the next process is started with.
        token_url: the address of the token endpoint that the next process is started with.
        oracle: judges.
        process: the operator.
        violations: what the operator must not do but did.
        errors_expected: whether it may log errors, without an exception.
        output: what the operator logged and recorded as Events.
        events: the messages of the Events that the operator recorded, in order.
        writers: others that react to every change.
        events_lost: whether watch events of resources are lost.
        disturbed_at: when something last happened that the operator did not do itself.
        event_lost_at: when a watch event was lost last.
    """

    def __init__(self, *namespaces: str, called: Callable[[Call], None] | None = None) -> None:
        self.namespaces = namespaces or (NAMESPACE,)
        self.most_at_once = _MOST_REQUESTS_AT_ONCE
        self.loop = TimeTravel()
        self.loop.set_exception_handler(lambda _, context: self.violations.append(str(context)))
        self.violations: list[str] = []
        self.errors_expected = False
        self.output: list[str] = []
        self.events: list[str] = []
        self.writers: list[Sees] = []
        self.api = SmallApi(self.now, self._changed, called or (lambda _: None))
        self.connection = Connection(self.api, self._received)
        self._moment = -1.0
        self._at_once = 0
        self.audience, self.token_url = "audience", "https://token-endpoint/"
        self.endpoint = Endpoint(self.now, self._asked, self._gave)
        self.oracle = Oracle(self.api, self.endpoint, self.now, self.namespaces)
        self.events_lost = False
        self.disturbed_at = self.event_lost_at = START - timedelta(days=1)
        self._log = _Log(self)
        logger = logging.getLogger(LOGGER)
        self._logging = logger.level, logger.propagate
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self._log)
        self._start()

    # Time

    def now(self) -> datetime:
        return START + timedelta(seconds=self.loop.time())

    def run(self, seconds: float = 0) -> None:
        """Let time pass; 0 runs everything that happens right now."""
        if self.is_disturbed():
            self.disturbed_at = self.now()
        if (self.events_lost or self.connection.down) and self.may_have_missed_events():
            self.event_lost_at = max(self.event_lost_at, self.now())
        self.loop.run(seconds)
        if self._main.done():
            self.violations.append(f"the process ended: {self._main}")
        if self.is_disturbed():
            self.disturbed_at = self.now()
        if self.events_lost:
            self.event_lost_at = self.now()

    def is_disturbed(self) -> bool:
        """Return whether something obstructs the operator."""
        connection = self.connection
        return bool(
            connection.down
            or connection.forbidden
            or connection.lost_replies
            or connection.overtaken
            or connection.interleaved
            or self.events_lost
            or self.endpoint.mode != OK
        )

    def may_have_missed_events(self) -> bool:
        """Return whether an event was lost that no resync has made up for yet."""
        return self.now() - self.event_lost_at < _RESYNCED_WITHIN

    # Others

    def ask(self, method: str, path: str, body: Body | None = None, by: str = USER) -> None:
        """Send a request to the API server as someone else; it may be refused."""
        self.disturbed_at = self.now()
        self.oracle.others_acted()
        with contextlib.suppress(RefusedError):
            self.api.call(method, path, body, by)

    def create_resource(
        self, name: str, spec: Mapping[str, Any], namespace: str = NAMESPACE, *, age: int = 1
    ) -> None:
        """Create a resource, `age` seconds later so that no two of them are equally old."""
        if not self.loop.is_running():
            self.run(age)
        obj = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"name": name},
            "spec": spec,
        }
        self.ask("POST", tokens_path(namespace), obj)

    def patch_resource(
        self, name: str, patch: Mapping[str, Any], namespace: str = NAMESPACE
    ) -> None:
        self.ask("PATCH", f"{tokens_path(namespace)}/{name}", patch)

    def request_refresh(self, name: str, after: timedelta) -> None:
        moment = f"{self.now() + after:%Y-%m-%dT%H:%M:%SZ}"
        self.patch_resource(name, {"metadata": {"annotations": {REFRESH_REQUESTED_AT: moment}}})

    def configure(self, *, audience: str | None = None, token_url: str | None = None) -> None:
        """Change the operator's settings; they take effect when its process starts again."""
        self.oracle.reconfigured()
        self.audience = audience or self.audience
        self.token_url = token_url or self.token_url

    def delete_resource(self, name: str, namespace: str = NAMESPACE) -> None:
        self.ask("DELETE", f"{tokens_path(namespace)}/{name}")

    def put_credentials(
        self, name: str, data: Mapping[str, str | bytes], namespace: str = NAMESPACE
    ) -> None:
        encoded = {key: encode(value) for key, value in data.items()}
        path = f"{secrets_path(namespace)}/{name}"
        if self.api.find(path):
            removed = dict.fromkeys({"client_id", "client_secret"} - encoded.keys())
            self.ask("PATCH", path, {"data": {**encoded, **removed}})
        else:
            self.put_secret(name, encoded, namespace)

    def put_secret(
        self, name: str, data: Mapping[str, str], namespace: str = NAMESPACE, **metadata: object
    ) -> None:
        obj = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data}
        body = {**obj, "metadata": {"name": name, **metadata}}
        self.ask("POST", secrets_path(namespace), body)

    def patch_secret(self, name: str, patch: Mapping[str, Any], namespace: str = NAMESPACE) -> None:
        self.ask("PATCH", f"{secrets_path(namespace)}/{name}", patch)

    def delete_secret(self, name: str, namespace: str = NAMESPACE) -> None:
        self.ask("DELETE", f"{secrets_path(namespace)}/{name}")

    def restore(self, snapshot: Snapshot) -> None:
        """Restore etcd from a backup; the API server restarts, and kopf lists the resources."""
        self.disturbed_at = self.now()
        self.oracle.others_acted()
        self.api.restore(snapshot)
        self.connection.break_watches(compact=False)
        for namespace in self.namespaces:
            for item in self.api.items(tokens_path(namespace)):
                path = f"{tokens_path(namespace)}/{item['metadata']['name']}"
                self._deliver(Change(self.api.version, "ADDED", path, USER, None, item))

    def collect_garbage(self, namespace: str = NAMESPACE) -> None:
        """Delete the Secrets whose owners are all gone, as the garbage collector does."""
        living = {item["metadata"]["uid"] for item in self.api.items(tokens_path(namespace))}
        for secret in self.api.items(secrets_path(namespace)):
            owners = secret["metadata"].get("ownerReferences", [])
            if owners and all(owner["uid"] not in living for owner in owners):
                self.delete_secret(secret["metadata"]["name"], namespace)

    # The process

    def crash(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Kill the process and start it again.

        Args:
            meanwhile: what happens while no process runs.
        """
        self.disturbed_at = self.now()
        self._stop()
        self.oracle.memory_lost()
        meanwhile()
        self._start()

    def close(self) -> None:
        self._stop()
        self.loop.close()
        logger = logging.getLogger(LOGGER)
        logger.removeHandler(self._log)
        level, logger.propagate = self._logging
        logger.setLevel(level)

    def _start(self) -> None:
        self._at_once = 0  # processes that follow each other are not a loop
        self.process = Process(
            self.connection,
            self.endpoint,
            self.namespaces,
            audience=self.audience,
            token_url=self.token_url,
            now=self.now,
            monotonic=self.loop.time,
            record=self._record,
            rng=random.Random(7),
        )
        self._main = self.loop.create_task(self.process.run())

    def _stop(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run()

    def _received(self) -> None:
        """Count the requests of one moment; a hot loop would never let time pass."""
        moment = self.loop.time()
        self._at_once = self._at_once + 1 if moment == self._moment else 1
        self._moment = moment
        if self._at_once == self.most_at_once:
            self.violations.append(f"{self._at_once} requests at one moment")
            self.loop.stop()

    def _record(self, message: str) -> None:
        self.events.append(message)
        self.output.append(message)

    def _changed(self, change: Change) -> None:
        self.oracle.changed(change)
        for writer in self.writers:
            writer.see(change)
        self.loop.call_soon(self._deliver, change)

    def _deliver(self, change: Change) -> None:
        self.connection.notify()
        if is_resource(change.path) and parse(change.path).namespace in self.namespaces:
            if self.events_lost or not self._may_watch(change.path):
                self.event_lost_at = self.now()
            else:
                self.process.resource_event(change)

    def _may_watch(self, path: str) -> bool:
        try:
            self.api.rights.check("watch", path)
        except RefusedError:
            return False
        return True

    def _asked(self, asker: Asker, account: Account) -> None:
        self.violations += self.oracle.asked(asker, account)

    def _gave(self, asker: Asker, token: str) -> None:
        self.oracle.gave(asker, token)


class Sees(Protocol):
    """Someone who reacts to changes."""

    def see(self, change: Change) -> None: ...


class _Log(logging.Handler):
    """Keeps what is logged; an error counts as a violation."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.output.append(record.getMessage())
        error = record.levelno >= logging.ERROR and not self._world.errors_expected
        if record.exc_info or error:
            self._world.violations.append(f"{record.getMessage()}: {record.exc_info}")
