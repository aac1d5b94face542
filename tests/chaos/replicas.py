"""The operator's replicas, restarted whenever they exit, as a kubelet would restart them."""

import signal
import threading
import time
from collections.abc import Sequence
from typing import Self

from tests.chaos.records import ProcessExit
from tests.support.operator_process import Operator
from tests.support.wall_clock import WallClock

# The operator promises ten.
_TERMINATION_SECONDS = 12.0
_POLL_SECONDS = 0.1
# A kubelet would wait longer each time; a run is short.
_RESTART_SECONDS = 1.0


class Replica:
    """One replica.

    Attributes:
        name: in reports.
        operator: its process.
        clock: the wall clock of the process; None where it cannot be set.
    """

    def __init__(self, name: str, operator: Operator, clock: WallClock | None) -> None:
        self.name = name
        self.operator = operator
        self.clock = clock
        self._lock = threading.Lock()
        self._requested_at: float | None = None
        self._overdue = False

    @property
    def is_staying(self) -> bool:
        """Return whether the process runs and nobody has asked it to exit."""
        return self.operator.running and self._requested_at is None

    def kill(self) -> None:
        """Send SIGKILL; the process is started again."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM; the process is started again."""
        self._end(signal.SIGTERM)

    def freeze(self) -> bool:
        """Send SIGSTOP; return whether the process runs."""
        return self._send(signal.SIGSTOP)

    def unfreeze(self) -> None:
        """Send SIGCONT."""
        self._send(signal.SIGCONT)

    def take_exit(self) -> ProcessExit | None:
        """Return how the process ended, once it has; kill it if it ignores SIGTERM."""
        with self._lock:
            now = time.monotonic()
            code = self.operator.exit_code
            if code is None:
                requested_at = self._requested_at
                if requested_at is not None and now - requested_at > _TERMINATION_SECONDS:
                    self._overdue = True
                    self._send(signal.SIGKILL)
                return None
            found = ProcessExit(self.name, now, code, self._requested_at is not None, self._overdue)
            self._requested_at, self._overdue = None, False
            return found

    def restart(self) -> None:
        """Start the process again."""
        self.operator.kill()
        self.operator.start()

    def _end(self, number: signal.Signals) -> None:
        with self._lock:
            if self._send(number):
                self._requested_at = time.monotonic()

    def _send(self, number: signal.Signals) -> bool:
        if not self.operator.running:
            return False
        self.operator.signal(number)
        return True


class Replicas:
    """All replicas and their supervisor.

    Attributes:
        all: the replicas.
        exits: how their processes have ended so far.
    """

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.all = tuple(replicas)
        self.exits: list[ProcessExit] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        for replica in self.all:
            replica.operator.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for replica in self.all:
            replica.unfreeze()
            if replica.operator.running:
                replica.operator.kill()

    def named(self, name: str) -> Replica:
        return next(replica for replica in self.all if replica.name == name)

    def _supervise(self) -> None:
        due: dict[str, float] = {}
        while not self._stop.wait(_POLL_SECONDS):
            for replica in self.all:
                if replica.name not in due:
                    if found := replica.take_exit():
                        self.exits.append(found)
                        due[replica.name] = found.at + _RESTART_SECONDS
                elif time.monotonic() >= due[replica.name]:
                    del due[replica.name]
                    replica.restart()
