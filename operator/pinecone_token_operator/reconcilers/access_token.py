"""One look at one resource: observe, decide, apply, and tell in its status."""

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from pinecone_token_operator.api.access_token import GROUP, PLURAL, VERSION, PineconeAccessToken
from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.controller.index import Index, Key
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.policies import schedule
from pinecone_token_operator.policies.chain import decide, is_outdated, wake_at
from pinecone_token_operator.policies.decision import Action, Decision
from pinecone_token_operator.policies.observed import Attempts, Observed, Problem
from pinecone_token_operator.reconcilers.events import News, find_news
from pinecone_token_operator.reconcilers.exchange import Exchange
from pinecone_token_operator.reconcilers.gather import Observer, secret_path
from pinecone_token_operator.reconcilers.state import Memory
from pinecone_token_operator.reconcilers.status import compute_status, status_patch
from pinecone_token_operator.targets.secret import desire, secret_patch, secret_to_create
from pinecone_token_operator.targets.target import StoredToken, Target, read_target
from pinecone_token_operator.targets.write_errors import explain_refusal
from pinecone_token_operator.telemetry.metrics import Metrics

MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
_NOT_FOUND, _CONFLICT, _INVALID = 404, 409, 422
# What trying again would not change: the request is at fault, or somebody forbids it.
_REFUSALS: Final = (400, 403, 413, 422)
# Somebody else wrote between our read and our write; it is read again, but not for ever.
_TRIES: Final = 4

logger = logging.getLogger(__name__)


class Reconciler:
    """Brings resources to what they ask for, one call each.

    Args:
        api: the API server.
        observer: reads what a decision depends on.
        exchange: fetches tokens.
        index: the resources.
        metrics: counts.
        record: told what people should hear of; must not block.
        missed: called when a resource turns out to be another than the index has.
        now: the clock; aware times in UTC.
        rng: spreads retries.
        keep: how long after its exchange a token is kept in memory, to be put back should the
            target lose it.
    """

    def __init__(
        self,
        api: Requests,
        observer: Observer,
        exchange: Exchange,
        index: Index,
        metrics: Metrics,
        record: Callable[[PineconeAccessToken, News], None],
        missed: Callable[[], None],
        now: Callable[[], datetime],
        rng: random.Random,
        keep: timedelta = timedelta(),
    ) -> None:
        self._api = api
        self._observer = observer
        self._exchange = exchange
        self._index = index
        self._metrics = metrics
        self._record = record
        self._missed = missed
        self._now = now
        self._rng = rng
        self._keep = keep
        self._memories: dict[tuple[Key, str], Memory] = {}

    async def reconcile(self, key: Key) -> datetime | None:
        """Bring one resource to what it asks for; return when time alone asks for another look.

        Raises:
            ApiError: the API server refused or did not answer; look again later.
        """
        resource = self._index.get(key)
        if resource is None:
            return None
        memory = self._memory(resource)
        if memory.kept and self._kept_until(memory.kept) <= self._now():
            memory.kept = None
        for tries_left in reversed(range(_TRIES)):
            observed, credentials = await self._observer.observe(resource, memory)
            decided_at = self._now()
            if not isinstance(observed.credentials, Problem):
                memory.unusable_since = None
            elif memory.unusable_since is None:
                memory.unusable_since = decided_at
            observed = replace(observed, unusable_since=memory.unusable_since)
            decision = decide(observed, decided_at)
            if is_outdated(observed, decision):
                memory.attempts = Attempts()
            vanished = observed.target is None and memory.had_target
            try:
                # Of a resource that goes, its Secret's end may be heard of first.
                if vanished and decision.action is not Action.REST and await self._goes(resource):
                    return None
                observed = await self._apply(observed, decision, credentials, memory)
                break
            except ApiError as error:
                if error.http_status not in (_CONFLICT, _NOT_FOUND) or not tries_left:
                    raise
        # Whatever is still to be done needs the data, which is read again then and not kept.
        settled = observed.times and not observed.attempts.problem and not decision.not_refreshed
        memory.target = observed.target.without_data() if settled and observed.target else None
        await self._tell(observed, decision, memory)
        # As of the decision: what fell due while this look went on asks for another at once.
        moments = [
            wake_at(observed, decision, decided_at),
            self._kept_until(memory.kept) if memory.kept else None,
        ]
        return min((moment for moment in moments if moment), default=None)

    def forget(self, resource: PineconeAccessToken) -> None:
        """Drop what is known of a resource that is gone."""
        self._memories.pop((resource.key, resource.metadata.uid), None)
        self._metrics.forget(resource.key)

    def status_seen(self, resource: PineconeAccessToken, status: Mapping[str, Any]) -> None:
        """Take over the status that the API server has, should somebody have changed it."""
        self._memory(resource).status = status

    def has_seen(self, key: Key, secret: Key) -> bool:
        """Return whether the latest look at a resource was at this Secret as it is now."""
        resource = self._index.get(key)
        memory = resource and self._memories.get((key, resource.metadata.uid))
        if not resource or not memory:
            return False
        return self._observer.has_seen(resource, memory, secret)

    def expires_at(self, resource: PineconeAccessToken) -> datetime | None:
        """Return when the resource's token expires, as far as known without asking."""
        memory = self._memories.get((resource.key, resource.metadata.uid))
        return memory.times.expires_at if memory and memory.times else None

    def _memory(self, resource: PineconeAccessToken) -> Memory:
        # By UID, so that nothing of a resource is taken for another of the same name.
        identity = resource.key, resource.metadata.uid
        if identity not in self._memories:
            self._memories[identity] = Memory.of(resource)
        return self._memories[identity]

    def _kept_until(self, token: StoredToken) -> datetime:
        return token.refreshed_at + self._keep

    async def _goes(self, resource: PineconeAccessToken) -> bool:
        """Return whether a resource is about to go or has gone; a successor of it was missed."""
        try:
            found = await self._api.request("GET", _path(resource))
        except ApiError as error:
            if error.http_status == _NOT_FOUND:
                return True
            raise
        metadata = found["metadata"]
        if metadata["uid"] != resource.metadata.uid:
            self._missed()
            return True
        return "deletionTimestamp" in metadata

    # Apply

    async def _apply(
        self,
        observed: Observed,
        decision: Decision,
        credentials: Credentials | None,
        memory: Memory,
    ) -> Observed:
        """Do what was decided; return what is true afterwards."""
        resource = observed.resource
        if decision.action is Action.EXCHANGE:
            logger.info("Fetching a token: %s", decision.why, extra={"resource": resource.key})
            if decision.planned_at is not None:
                late = self._now() - decision.planned_at
                self._metrics.lateness(late.total_seconds())
            await self._fetch(observed, credentials, memory)
            if memory.in_hand is not None:
                await self._write(observed, memory.in_hand, memory)
        elif decision.action is Action.WRITE and decision.token is not None:
            logger.info("Writing the target: %s", decision.why, extra={"resource": resource.key})
            await self._write(observed, decision.token, memory)
        return replace(
            observed,
            target=memory.target,
            times=memory.times,
            in_hand=memory.in_hand,
            attempts=memory.attempts,
            credentials=memory.credentials or observed.credentials,
        )

    async def _fetch(
        self, observed: Observed, credentials: Credentials | None, memory: Memory
    ) -> None:
        """Take a token into the hand, unless that fails, which is then noted."""
        memory.in_hand = None
        if credentials is None:
            read = await self._observer.read_credentials(observed.resource, memory)
            if isinstance(read, Problem):
                memory.failed(observed, read, self._now() + timedelta(seconds=1))
                return
            credentials = read
        memory.in_hand = await self._exchange.fetch(observed, credentials, memory)

    async def _write(self, observed: Observed, token: StoredToken, memory: Memory) -> None:
        """Write a token into the target; a refusal is noted, and the token stays in hand."""
        resource = observed.resource
        desired = desire(resource, token)
        namespace, name = resource.target_key
        target = memory.target
        patch = secret_patch(target, desired, resource.metadata.uid) if target else None
        if target is not None and patch is None:
            # A write whose reply was lost: the token is there already.
            self._written(memory, target, token)
            return
        try:
            if target is None:
                body = secret_to_create(resource, desired)
                secret = await self._api.request("POST", secret_path(namespace), body=body)
            else:
                secret = await self._api.request(
                    "PATCH", secret_path(namespace, name), body=patch, content_type=MERGE_PATCH
                )
        except ApiError as error:
            if error.http_status in _REFUSALS:
                self._write_refused(observed, memory, error)
                return
            memory.target = None
            raise
        self._observer.note(resource.target_key, secret)
        self._written(memory, read_target(secret), token)

    def _written(self, memory: Memory, target: Target, token: StoredToken) -> None:
        memory.written(target, token)
        memory.kept = token if self._kept_until(token) > self._now() else None

    def _write_refused(self, observed: Observed, memory: Memory, error: ApiError) -> None:
        message = explain_refusal(error, observed.resource.target_name, memory.target)
        now = self._now()
        life_left = memory.times.expires_at - now if memory.times else timedelta()
        wait = schedule.back_off(memory.attempts.failures + 1, life_left, self._rng.random())
        memory.failed(observed, Problem(Reason.TARGET_NOT_WRITABLE, message), now + wait)

    # Tell

    async def _tell(self, observed: Observed, decision: Decision, memory: Memory) -> None:
        resource = observed.resource
        times = None if decision.not_ready else observed.times
        self._metrics.token(
            resource.key,
            times.expires_at if times else None,
            # While suspended nothing is planned; alerts tell by that what is meant to expire.
            times.refresh_at if times and not resource.spec.suspend else None,
            times.refreshed_at if times else None,
        )
        status = compute_status(observed, decision, memory.status, self._now())
        patch = status_patch(status, memory.status, resource.metadata.uid)
        if patch is None:
            return
        try:
            await self._api.request(
                "PATCH", f"{_path(resource)}/status", body=patch, content_type=JSON_PATCH
            )
        except ApiError as error:
            if error.http_status == _NOT_FOUND:
                return  # its event is on the way
            if error.http_status == _INVALID and await self._goes(resource):
                return
            raise
        for news in find_news(status, memory.status):
            self._record(resource, news)
        memory.status = status


def _path(resource: PineconeAccessToken) -> str:
    namespace, name = resource.key
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}"
