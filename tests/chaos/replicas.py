"""The operator's replicas, restarted whenever they end, as a kubelet would."""

import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tests.support.operator_process import Operator
from tests.support.wall_clock import WallClock

# The operator promises ten.
_TERMINATION_SECONDS = 12.0
_POLL_SECONDS = 0.1
# A kubelet would wait longer each time; a run is short.
_RESTART_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class End:
    """An end of a replica's process.

    Attributes:
        at: monotonic seconds.
        code: the exit code; negative is a signal's number.
        asked: whether the harness did it.
        late: whether it went on after SIGTERM for so long that it was killed.
    """

    replica: str
    at: float
    code: int
    asked: bool
    late: bool


class Replica:
    """One replica, and the wall clock of its process where that can be set."""

    def __init__(self, name: str, operator: Operator, clock: WallClock | None) -> None:
        self.name = name
        self.operator = operator
        self.clock = clock
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._late = False

    @property
    def at_work(self) -> bool:
        """Return whether there is a process that was not told to end."""
        return self.operator.running and self._asked_at is None

    def kill(self) -> None:
        """Send SIGKILL; the process is started again."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM; the process is started again."""
        self._end(signal.SIGTERM)

    def stop(self) -> bool:
        """Send SIGSTOP; return whether there was a process."""
        return self._send(signal.SIGSTOP)

    def proceed(self) -> None:
        """Send SIGCONT."""
        self._send(signal.SIGCONT)

    def note_end(self) -> End | None:
        """Return how the process ended, once it has; kill one that does not end when told to."""
        with self._lock:
            now = time.monotonic()
            code = self.operator.exit_code
            if code is None:
                if self._asked_at is not None and now - self._asked_at > _TERMINATION_SECONDS:
                    self._late = True
                    self._send(signal.SIGKILL)
                return None
            end = End(self.name, now, code, self._asked_at is not None, self._late)
            self._asked_at, self._late = None, False
            return end

    def restart(self) -> None:
        """Start the process again."""
        self.operator.kill()
        self.operator.start()

    def _end(self, number: signal.Signals) -> None:
        with self._lock:
            if self._send(number):
                self._asked_at = time.monotonic()

    def _send(self, number: signal.Signals) -> bool:
        if not self.operator.running:
            return False
        self.operator.signal(number)
        return True


class Replicas:
    """All replicas and their supervisor.

    Attributes:
        ends: the ends of their processes so far.
    """

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.all = tuple(replicas)
        self.ends: list[End] = []
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
            replica.proceed()
            if replica.operator.running:
                replica.operator.kill()

    def named(self, name: str) -> Replica:
        return next(replica for replica in self.all if replica.name == name)

    def _supervise(self) -> None:
        due: dict[str, float] = {}
        while not self._stop.wait(_POLL_SECONDS):
            for replica in self.all:
                if replica.name not in due:
                    if end := replica.note_end():
                        self.ends.append(end)
                        due[replica.name] = end.at + _RESTART_SECONDS
                elif time.monotonic() >= due[replica.name]:
                    del due[replica.name]
                    replica.restart()
