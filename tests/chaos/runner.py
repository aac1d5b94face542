"""Makes the faults of a plan, each lane in a thread of its own."""

import random
import threading
from collections.abc import Callable, Mapping, Sequence

from tests.chaos import api_faults, credentials_faults, endpoint_faults, operator_faults
from tests.chaos import people_faults as people
from tests.chaos.fairness import Fault
from tests.chaos.injection import Inject
from tests.chaos.kinds import Lane
from tests.chaos.place import Place
from tests.chaos.plan import Planned
from tests.chaos.stubborn import BrokenOff

FAULTS: Mapping[str, Inject] = {
    **endpoint_faults.FAULTS,
    **api_faults.FAULTS,
    **operator_faults.FAULTS,
    **credentials_faults.FAULTS,
    **people.FAULTS,
}

Say = Callable[[str], None]


class Runner:
    """Runs a plan.

    Attributes:
        made: the faults that are over.
        current: the names of those that are not.
        failure: what kept the harness from doing its part.
    """

    def __init__(self, place: Place, plan: Sequence[Planned], seed: int, say: Say) -> None:
        self.made: list[Fault] = []
        self.current: list[str] = []
        self.failure: Exception | None = None
        self._place = place
        self._seed = seed
        self._say = say
        self._begin = 0.0
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
        """Begin with the plan."""
        self._begin = self._place.seconds()
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> bool:
        """Return whether there are faults to come or to unmake."""
        return any(thread.is_alive() for thread in self._threads)

    def finish(self) -> None:
        """Break off the plan, and unmake what was made."""
        self._place.stop.set()
        for thread in self._threads:
            thread.join()

    def _run_lane(self, plan: Sequence[Planned]) -> None:
        try:
            for planned in plan:
                if self._place.stop.wait(self._begin + planned.at - self._place.seconds()):
                    return
                self._make(planned)
        except BrokenOff:
            return
        except Exception as error:  # noqa: BLE001 - told by the main thread, whatever it is
            self.failure = error
            self._place.stop.set()

    def _make(self, planned: Planned) -> None:
        kind = planned.kind
        rng = random.Random(f"{self._seed}/{planned.number}")
        self.current.append(kind.name)
        try:
            with FAULTS[kind.name](self._place, rng) as made:
                note = f" ({made.note})" if made.note else ""
                hold = f" for {planned.hold:.0f} s" if kind.longest > kind.shortest else ""
                self._say(f"{kind.name}{hold}{note}")
                if self._place.stop.wait(planned.hold):
                    raise BrokenOff
            fault = Fault(kind, made.began, self._place.seconds(), made.concerns, made.note)
            self.made.append(fault)
        finally:
            self.current.remove(kind.name)
