"""Injects the faults of a plan, each lane in a thread of its own."""

import random
import threading
from collections.abc import Callable, Mapping, Sequence

from tests.chaos.environment import Environment
from tests.chaos.faults import (
    api_server,
    claims,
    credentials,
    namespaces,
    other_writers,
    partial_rights,
    replicas,
    token_endpoint,
    users,
)
from tests.chaos.faults.injection import Inject
from tests.chaos.faults.plan import Planned
from tests.chaos.records import Fault, Lane
from tests.chaos.retry import Interrupted

FAULTS: Mapping[str, Inject] = {
    **token_endpoint.FAULTS,
    **api_server.FAULTS,
    **replicas.FAULTS,
    **credentials.FAULTS,
    **users.FAULTS,
    **other_writers.FAULTS,
    **claims.FAULTS,
    **partial_rights.FAULTS,
    **namespaces.FAULTS,
}

Say = Callable[[str], None]


class Runner:
    """Runs a plan.

    Args:
        env: what the faults act on.
        plan: the faults.
        seed: with a fault's number it decides everything that is random in it.
        say: called with a line for each fault.

    Attributes:
        injected: the faults that are over.
        current: the names of those that are not.
        failure: what kept the harness from injecting a fault.
    """

    def __init__(self, env: Environment, plan: Sequence[Planned], seed: int, say: Say) -> None:
        self.injected: list[Fault] = []
        self.current: list[str] = []
        self.failure: Exception | None = None
        self._env = env
        self._seed = seed
        self._say = say
        self._began = 0.0
        self._threads = [
            threading.Thread(
                target=self._run_lane,
                args=([planned for planned in plan if planned.kind.lane is lane],),
                name=lane,
                daemon=True,
            )
            for lane in Lane
        ]

    def start(self) -> None:
        """Start the plan."""
        self._began = self._env.seconds()
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> bool:
        """Return whether there are faults left to inject or to undo."""
        return any(thread.is_alive() for thread in self._threads)

    def finish(self) -> None:
        """Abandon the rest of the plan and undo the current faults."""
        self._env.stop.set()
        for thread in self._threads:
            thread.join()

    def _run_lane(self, plan: Sequence[Planned]) -> None:
        try:
            for planned in plan:
                if self._env.stop.wait(self._began + planned.at - self._env.seconds()):
                    return
                self._inject(planned)
        except Interrupted:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the main thread reports it
            self.failure = error
            self._env.stop.set()

    def _inject(self, planned: Planned) -> None:
        kind = planned.kind
        rng = random.Random(f"{self._seed}/{planned.number}")
        self.current.append(kind.name)
        try:
            with FAULTS[kind.name](self._env, rng) as injected:
                note = f" ({injected.note})" if injected.note else ""
                hold = f" for {planned.hold:.0f} s" if kind.max_hold > kind.min_hold else ""
                self._say(f"{kind.name}{hold}{note}")
                if self._env.stop.wait(planned.hold):
                    raise Interrupted
            ended = self._env.seconds()
            fault = Fault(kind, injected.began, ended, injected.affects, injected.note)
            self.injected.append(fault)
        finally:
            self.current.remove(kind.name)
