"""Which watches work, by namespace: for readiness, a metric, and one log line per change."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.keys import namespace_name

Namespace = str | None
"""A namespace's name; None means all namespaces, or a cluster-scoped kind."""

# An outage hits all watches within moments; they are logged in one line.
LOG_DELAY: Final = timedelta(seconds=1)
MAX_NAMED: Final = 5

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _State:
    error: ApiError | None = None
    established: bool = False
    ever_established: bool = False

    @property
    def is_absent(self) -> bool:
        """Whether the API server does not serve the kind."""
        return self.error is not None and self.error.not_found

    @property
    def is_blocked(self) -> bool:
        """Whether it fails for a reason that is not an outage, or has never worked."""
        if self.error is None or self.is_absent:
            return False
        return not (self.ever_established and self.error.is_transient)


class WatchHealth:
    """The state of all watches.

    A namespace is served while all its watches are established, and is not served while one of them
    fails, or while its resources cannot be listed: a watch that is open survives the loss of the
    right to it. Each watch retries by itself; nothing here ends or delays another.

    Args:
        served: takes a namespace and whether it is served, whenever that becomes known or changes.
    """

    def __init__(
        self, served: Callable[[Namespace, bool], object] = lambda _namespace, _served: None
    ) -> None:
        self._served = served
        self._states: defaultdict[tuple[str, Namespace], _State] = defaultdict(_State)
        self._unlisted: dict[Namespace, ApiError] = {}
        self._reported: dict[Namespace, bool] = {}
        self._unlogged: dict[tuple[str, Namespace], ApiError | None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, what: str, namespace: Namespace) -> None:
        """Register a watch whose state is not known yet."""
        self._states[what, namespace]

    def established(self, what: str, namespace: Namespace) -> None:
        """Note that a watch works."""
        state = self._states[what, namespace]
        if state.error:
            self._log((what, namespace), None)
        state.error, state.established, state.ever_established = None, True, True
        self._report(namespace)

    def failed(self, what: str, namespace: Namespace, error: ApiError) -> None:
        """Note that a watch cannot be established."""
        state = self._states[what, namespace]
        if state.error is None or state.error.brief != error.brief:
            self._log((what, namespace), error)
        state.error, state.established = error, False
        self._report(namespace)

    def listed(self, namespace: Namespace, error: ApiError | None) -> None:
        """Note that the resources of a namespace were listed, or why they could not be."""
        if error is None:
            self._unlisted.pop(namespace, None)
        else:
            self._unlisted[namespace] = error
        self._report(namespace)

    def failures(self, what: str) -> dict[Namespace, str]:
        """Return the namespaces where the watch of something fails, and why."""
        return {
            namespace: str(state.error)
            for (kind, namespace), state in self._states.items()
            if kind == what and state.error
        }

    @property
    def unserved(self) -> dict[Namespace, str]:
        """The namespaces that are not served, and why."""
        problems: defaultdict[Namespace, list[str]] = defaultdict(list)
        for (what, namespace), state in self._states.items():
            if state.error:
                problems[namespace].append(f"failed to watch {what} ({state.error})")
        for namespace, error in self._unlisted.items():
            problems[namespace].append(f"failed to list resources ({error})")
        return {namespace: "; ".join(each) for namespace, each in problems.items()}

    def notes(self) -> list[str]:
        """Return a line for each namespace that is not served."""
        unserved = self.unserved.items()
        return sorted(f"{namespace_name(namespace)}: {problem}" for namespace, problem in unserved)

    def not_ready(self) -> list[str]:
        """Return why this process cannot serve any namespace; empty if it can serve some.

        One namespace that is not served does not make the process unready, or it could hold up a
        rollout. Neither does an outage of the API server, once the watches have worked, nor a CRD
        that is not installed yet: the operator waits for it.
        """
        blocked = {where for (_, where), state in self._states.items() if state.is_blocked}
        waiting = sorted(
            {
                what
                for (what, where), state in self._states.items()
                if not state.ever_established and not state.is_absent and where not in blocked
            }
        )
        if waiting:
            return [f"the watch of {what} is not established yet" for what in waiting]
        served = {where for _, where in self._states} - blocked
        return [] if served or not blocked else self.notes()

    def _report(self, namespace: Namespace) -> None:
        states = [state for (_, where), state in self._states.items() if where == namespace]
        failed = namespace in self._unlisted or any(state.error for state in states)
        if not failed and not all(state.established for state in states):
            return
        if self._reported.get(namespace) is not (not failed):
            self._reported[namespace] = not failed
            self._served(namespace, not failed)

    def _log(self, key: tuple[str, Namespace], error: ApiError | None) -> None:
        if error is None and self._unlogged.pop(key, None):
            return  # it failed for a moment only
        self._unlogged[key] = error
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LOG_DELAY.total_seconds(), self._flush)

    def _flush(self) -> None:
        self._timer = None
        unlogged, self._unlogged = self._unlogged, {}
        groups: defaultdict[tuple[str, str], list[Namespace]] = defaultdict(list)
        for (what, namespace), error in unlogged.items():
            groups[what, error.brief if error else ""].append(namespace)
        for (what, brief), namespaces in groups.items():
            if not brief:
                logger.info("The watch of %s recovered in %s", what, _names(namespaces))
                continue
            details = {str(unlogged[what, namespace]) for namespace in namespaces}
            logger.warning(
                "Failed to watch %s in %s (%s); retrying",
                what,
                _names(namespaces),
                details.pop() if len(details) == 1 else brief,
            )


def _names(namespaces: Iterable[Namespace]) -> str:
    names = sorted(map(namespace_name, namespaces))
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
