"""The faults that the demo makes on purpose, when it makes them, and when all is well again."""

import base64
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pinecone_token_operator.api.access_token import REFRESH_REQUESTED_AT
from tests.demo.objects import NAMESPACE
from tests.demo.state import State
from tests.support.api import Kube, secret_path
from tests.support.token_endpoint import TokenEndpoint

RECOVERY_SECONDS = 15.0

_LONGEST_OUTAGE = 20.0
_SPARE_SECONDS = 8.0
_DELETED = "pinecone-access-token"
_CORRUPTED = "search-ui"
_ACCOUNT = "batch-service-account"
_ASKED = "batch-import"


@dataclass(slots=True)
class Fault:
    """One fault; its times are monotonic.

    Attributes:
        what: what was done. good: what recovery is.
        over: when the recovery's clock starts: when the damage was done, or an outage ended.
    """

    what: str
    good: str
    recovered: Callable[[], bool]
    over: float | None = None
    took: float | None = None

    @property
    def late(self) -> bool:
        """Return whether recovery did not come in time."""
        if self.over is None:
            return False
        took = time.monotonic() - self.over if self.took is None else self.took
        return took > RECOVERY_SECONDS

    @property
    def pending(self) -> bool:
        """Return whether recovery is still waited for."""
        return self.took is None and not self.late


class Damage:
    """Makes the faults, one after the other, as time goes on.

    Attributes:
        faults: those that were made.
    """

    def __init__(self, kube: Kube, endpoint: TokenEndpoint, state: State, seconds: float) -> None:
        self.faults: list[Fault] = []
        self.outage = min(_LONGEST_OUTAGE, seconds / 4)
        self._kube = kube
        self._endpoint = endpoint
        self._state = state
        self._back_at: float | None = None
        self._plan: list[tuple[float, Callable[[], Fault]]] = [
            (0.15 * seconds, self._delete_target),
            (0.28 * seconds, self._change_credentials),
            (0.41 * seconds, self._corrupt_token),
            (0.54 * seconds, self._begin_outage),
        ]

    @property
    def pending(self) -> bool:
        """Return whether a fault has not been made, or its recovery is still waited for."""
        return bool(self._plan) or any(fault.pending for fault in self.faults)

    def step(self, elapsed: float) -> list[str]:
        """Do what is due, and return a line for each thing that happened."""
        lines = []
        now = time.monotonic()
        if self._back_at is not None and now >= self._back_at:
            self._endpoint.mode = "ok"
            self._back_at, self.faults[-1].over = None, time.monotonic()
            failing = [row for row in self._state.rows.values() if row.refreshed != "True"]
            lines.append(
                "the token endpoint is back; meanwhile "
                f"{len(failing)} of {len(self._state.rows)} could not be refreshed"
            )
        for fault in self.faults:
            if fault.over is not None and fault.took is None and fault.recovered():
                fault.took = now - fault.over
                lines.append(f"{fault.good} after {fault.took:.2f} s")
        if not any(fault.pending for fault in self.faults) and self._due(elapsed):
            fault = self._plan.pop(0)[1]()
            self.faults.append(fault)
            lines.append(fault.what)
        return lines

    def _due(self, elapsed: float) -> bool:
        if not self._plan or elapsed < self._plan[0][0]:
            return False
        if len(self._plan) > 1:
            return True
        # No operator can carry a token over an outage that is longer than its remaining life, so
        # the outage begins when each token would outlive it with time to fetch the next.
        lives = [row.life or 0 for row in self._state.rows.values()]
        return min(lives) > self.outage + _SPARE_SECONDS

    def _delete_target(self) -> Fault:
        row = self._state.rows[_DELETED]
        before, started = row.token, time.monotonic()
        self._kube.delete(secret_path(NAMESPACE, row.target))
        return Fault(
            f"deleted the target Secret {row.target}",
            "it was restored with a new token",
            lambda: row.genuine and row.token != before,
            started,
        )

    def _change_credentials(self) -> Fault:
        rows = [row for row in self._state.rows.values() if row.credentials == _ACCOUNT]
        before, started = {row.name: row.token for row in rows}, time.monotonic()
        new = {
            "client_id": "demo-new",
            "client_secret": f"demo-client-secret-{secrets.token_hex()}",
        }
        self._kube.patch(secret_path(NAMESPACE, _ACCOUNT), {"stringData": new})
        return Fault(
            f"changed the credentials in {_ACCOUNT}",
            f"all {len(rows)} resources that use them had new tokens",
            lambda: all(row.genuine and row.token != before[row.name] for row in rows),
            started,
        )

    def _corrupt_token(self) -> Fault:
        row = self._state.rows[_CORRUPTED]
        started = time.monotonic()
        bad = base64.b64encode(b"corrupted by the demo").decode()
        self._kube.patch(secret_path(NAMESPACE, row.target), {"data": {"access_token": bad}})
        # Without this, a look from before the damage would pass for a recovery.
        row.genuine = False
        return Fault(
            f"overwrote access_token in the Secret {row.target}",
            "it was repaired",
            lambda: row.genuine,
            started,
        )

    def _begin_outage(self) -> Fault:
        row = self._state.rows[_ASKED]
        before = row.token
        self._endpoint.mode = "down"
        self._back_at = time.monotonic() + self.outage
        # So that a short outage is noticed too, which may fall where no refresh is due.
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        patch = {"metadata": {"annotations": {REFRESH_REQUESTED_AT: moment}}}
        self._kube.patch_token(NAMESPACE, _ASKED, patch)
        return Fault(
            f"took the token endpoint down for {self.outage:.0f} s and asked {row.name} to refresh",
            "all resources were up to date",
            lambda: self._state.well and row.token != before,
        )
