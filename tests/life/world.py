"""Everything that the operator lives in, and what people and faults do to it."""

import asyncio
import base64
import contextlib
import logging
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pinecone_token_operator.api.access_token import GROUP, KIND, REFRESH_REQUESTED_AT, VERSION
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.kube.interfaces import Body
from pinecone_token_operator.targets.target import format_time
from tests.life.endpoint import OK, Endpoint
from tests.life.link import Link
from tests.life.oracle import Oracle
from tests.life.process import Process, exchanging_for
from tests.life.small_api import SECRETS, TOKENS, Change, SmallApi
from tests.life.time_travel import TimeTravel
from tests.support.builders import NOON

LOGGER: Final = "pinecone_token_operator"


def encode(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


class World:
    """A namespace, the endpoint and one operator, in a time that passes when it is told to.

    Attributes:
        faults: what must not be and was.
        told: what the operator logged or said in Events.
        restless: when something last happened to the operator that it did not do itself.
        unheard: when an event of a resource was last lost, and no listing has made up for it.
    """

    def __init__(self) -> None:
        self.loop = TimeTravel()
        self.loop.set_exception_handler(lambda _, context: self.faults.append(str(context)))
        self.faults: list[str] = []
        self.told: list[str] = []
        self.api = SmallApi(self.now, self._changed)
        self.link = Link(self.api)
        self.endpoint = Endpoint(self.now, self._asked, self._gave)
        self.oracle = Oracle(self.api, self.endpoint, self.now)
        self.deaf = False
        self.restless = self.unheard = NOON - timedelta(days=1)
        self._log = _Log(self)
        logger = logging.getLogger(LOGGER)
        self._logging = logger.level, logger.propagate
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self._log)
        self._start()

    # Time

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.loop.time())

    def run(self, seconds: float = 0) -> None:
        """Let time pass; 0 lets all happen that happens at once."""
        if self.troubled():
            self.restless = self.now()
        if self.deaf or self.link.down:
            self.unheard = max(self.unheard, self.now()) if self._missed() else self.unheard
        asked = len(self.link.asked)
        self.loop.run(seconds)
        if seconds == 0 and len(self.link.asked) - asked > 100:
            self.faults.append(f"{len(self.link.asked) - asked} requests at one moment")
        if self._main.done():
            self.faults.append(f"the process ended: {self._main}")
        if self.troubled():
            self.restless = self.now()
        if self.deaf:
            self.unheard = self.now()

    def troubled(self) -> bool:
        """Whether something is in the operator's way."""
        link = self.link
        broken = link.down or link.forbidden or link.lost or link.raced or link.meanwhile
        return bool(broken) or self.deaf or self.endpoint.mode != OK

    # People

    def ask(self, method: str, path: str, body: Body | None = None) -> None:
        """Make a request to the API server as somebody else, who may be refused."""
        self.restless = self.now()
        self.oracle.people_acted()
        with contextlib.suppress(ApiError):
            self.api.call(method, path, body)

    def create_resource(self, name: str, spec: Mapping[str, Any]) -> None:
        if not self.loop.is_running():
            self.run(1)  # of two with one target it must be clear which is the older
        obj = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"name": name},
            "spec": spec,
        }
        self.ask("POST", TOKENS, obj)

    def patch_resource(self, name: str, patch: Mapping[str, Any]) -> None:
        self.ask("PATCH", f"{TOKENS}/{name}", patch)

    def request_refresh(self, name: str, after: timedelta) -> None:
        moment = format_time(self.now() + after)
        self.patch_resource(name, {"metadata": {"annotations": {REFRESH_REQUESTED_AT: moment}}})

    def delete_resource(self, name: str) -> None:
        self.ask("DELETE", f"{TOKENS}/{name}")

    def put_credentials(self, name: str, data: Mapping[str, str | bytes]) -> None:
        held = {key: encode(text) for key, text in data.items()}
        if self.api.find(f"{SECRETS}/{name}"):
            gone = dict.fromkeys({"client_id", "client_secret"} - held.keys())
            self.ask("PATCH", f"{SECRETS}/{name}", {"data": {**held, **gone}})
        else:
            self.put_secret(name, held)

    def put_secret(self, name: str, data: Mapping[str, str], **metadata: object) -> None:
        obj = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque"}
        self.ask("POST", SECRETS, {**obj, "metadata": {"name": name, **metadata}, "data": data})

    def patch_secret(self, name: str, patch: Mapping[str, Any]) -> None:
        self.ask("PATCH", f"{SECRETS}/{name}", patch)

    def delete_secret(self, name: str) -> None:
        self.ask("DELETE", f"{SECRETS}/{name}")

    def collect_garbage(self) -> None:
        """Delete the Secrets whose owners are all gone, as the garbage collector would."""
        living = {item["metadata"]["uid"] for item in self.api.items(TOKENS)}
        for secret in self.api.items(SECRETS):
            owners = secret["metadata"].get("ownerReferences", [])
            if owners and all(owner["uid"] not in living for owner in owners):
                self.delete_secret(secret["metadata"]["name"])

    # The process

    def crash(self) -> None:
        """End the process without a warning, and start another."""
        self.restless = self.now()
        self._stop()
        self.oracle.memory_lost()
        self._start()

    def close(self) -> None:
        self._stop()
        self.loop.close()
        logger = logging.getLogger(LOGGER)
        logger.removeHandler(self._log)
        level, logger.propagate = self._logging
        logger.setLevel(level)

    def _start(self) -> None:
        self.process = Process(
            self.link,
            self.endpoint,
            self.now,
            self.loop.time,
            lambda news: self.told.append(news.message),
            random.Random(7),
        )
        self._main = self.loop.create_task(self.process.run())

    def _stop(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run()

    def _changed(self, change: Change) -> None:
        self.oracle.changed(change)
        self.loop.call_soon(self._hear, change)

    def _hear(self, change: Change) -> None:
        self.link.tell()
        if change.path.startswith(TOKENS):
            if self.deaf:
                self.unheard = self.now()
            else:
                self.process.resource_event(change)

    def _missed(self) -> bool:
        return self.now() - self.unheard < timedelta(minutes=12)

    def _asked(self, credentials: Credentials) -> None:
        self.faults += self.oracle.asked(exchanging_for.get(), credentials)

    def _gave(self, token: str) -> None:
        self.oracle.gave(exchanging_for.get(), token)


class _Log(logging.Handler):
    """Keeps what is logged, and takes errors for faults."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.told.append(record.getMessage())
        if record.exc_info or record.levelno >= logging.ERROR:
            self._world.faults.append(f"{record.getMessage()}: {record.exc_info}")
