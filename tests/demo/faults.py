"""The faults that the demo injects: what they do, when, and how recovery is recognised."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.demo.objects import NAMESPACE, SHARED, SHARED_LABEL, SHARED_NAMESPACES
from tests.demo.state import State
from tests.support.api import Kube, secret_path
from tests.support.documented import REFRESH_REQUESTED_AT
from tests.support.encoding import encode
from tests.support.token_endpoint import TokenEndpoint

RECOVERY_SECONDS = 15.0

_LONGEST_OUTAGE = 20.0
_SPARE_SECONDS = 8.0
# More than the shared token's refreshBefore and a tenth of the lifetime for jitter.
_NO_REFRESH_SECONDS = 36.0
_DELETED = "pinecone-access-token"
_OVERWRITTEN = "search-ui"
_ACCOUNT = "batch-service-account"
_REQUESTED = "batch-import"


@dataclass(slots=True)
class Fault:
    """One fault; its times are monotonic.

    Attributes:
        what: what was done.
        recovery: what recovery means.
        recovered: whether it has recovered.
        over: when the time for recovery starts: when the fault was injected or an outage ended.
        took: how many seconds recovery took.
    """

    what: str
    recovery: str
    recovered: Callable[[], bool]
    over: float | None = None
    took: float | None = None

    @property
    def late(self) -> bool:
        """Return whether it did not recover in time."""
        if self.over is None:
            return False
        took = time.monotonic() - self.over if self.took is None else self.took
        return took > RECOVERY_SECONDS

    @property
    def pending(self) -> bool:
        """Return whether it may still recover in time."""
        return self.took is None and not self.late


class Faults:
    """Injects the faults one after the other as time goes on.

    Attributes:
        injected: the faults so far.
        outage: how many seconds the token endpoint is down.
    """

    def __init__(
        self,
        kube: Kube,
        endpoint: TokenEndpoint,
        state: State,
        seconds: float,
        *,
        shared: bool,
    ) -> None:
        self.injected: list[Fault] = []
        self.outage = min(_LONGEST_OUTAGE, seconds / 4)
        self._kube = kube
        self._endpoint = endpoint
        self._state = state
        self._back_at: float | None = None
        self._plan: list[tuple[float, Callable[[], Fault]]] = [
            (0.15 * seconds, self._delete_target),
            (0.28 * seconds, self._rotate_credentials),
            (0.41 * seconds, self._overwrite_token),
            (0.54 * seconds, self._start_outage),
        ]
        if shared:
            self._plan.insert(3, (0.48 * seconds, self._label_namespace))

    @property
    def pending(self) -> bool:
        """Return whether a fault is still to be injected or may still recover in time."""
        return bool(self._plan) or any(fault.pending for fault in self.injected)

    def step(self, elapsed: float) -> list[str]:
        """Do what is due, and return a line for each thing that happened."""
        lines = []
        now = time.monotonic()
        if self._back_at is not None and now >= self._back_at:
            self._endpoint.mode = "ok"
            self._back_at, self.injected[-1].over = None, time.monotonic()
            failing = [row for row in self._state.rows.values() if row.refreshed != "True"]
            lines.append(
                f"the token endpoint is back; {len(failing)} of {len(self._state.rows)} resources "
                "could not be refreshed meanwhile"
            )
        for fault in self.injected:
            if fault.over is not None and fault.took is None and fault.recovered():
                fault.took = now - fault.over
                lines.append(f"{fault.recovery} after {fault.took:.2f} s")
        if not any(fault.pending for fault in self.injected) and self._is_due(elapsed):
            fault = self._plan.pop(0)[1]()
            self.injected.append(fault)
            lines.append(fault.what)
        return lines

    def _is_due(self, elapsed: float) -> bool:
        if not self._plan or elapsed < self._plan[0][0]:
            return False
        do = self._plan[0][1]
        if do == self._label_namespace:
            # Not while a refresh may replace the token that the copy is compared with.
            return (self._state.rows[SHARED].remaining or 0) > _NO_REFRESH_SECONDS
        if do != self._start_outage:
            return True
        # No operator can bridge an outage that is longer than a token's remaining lifetime. So the
        # outage starts when every token would outlive it, with time to fetch the next one.
        remaining = [row.remaining or 0 for row in self._state.rows.values()]
        return min(remaining) > self.outage + _SPARE_SECONDS

    def _delete_target(self) -> Fault:
        row = self._state.rows[_DELETED]
        before, started = row.token, time.monotonic()
        self._kube.delete(secret_path(NAMESPACE, row.target))
        return Fault(
            f"deleted the target Secret {row.target}",
            "it was recreated with a new token",
            lambda: row.genuine and row.token != before,
            started,
        )

    def _rotate_credentials(self) -> Fault:
        rows = [row for row in self._state.rows.values() if row.credentials == _ACCOUNT]
        before, started = {row.name: row.token for row in rows}, time.monotonic()
        new = {
            "client_id": "demo-new",
            "client_secret": f"demo-client-secret-{secrets.token_hex()}",
        }
        self._kube.patch(secret_path(NAMESPACE, _ACCOUNT), {"stringData": new})
        return Fault(
            f"rotated the credentials in {_ACCOUNT}",
            f"all {len(rows)} resources that use them had new tokens",
            lambda: all(row.genuine and row.token != before[row.name] for row in rows),
            started,
        )

    def _overwrite_token(self) -> Fault:
        row = self._state.rows[_OVERWRITTEN]
        started = time.monotonic()
        bad = encode("overwritten by the demo")
        self._kube.patch(secret_path(NAMESPACE, row.target), {"data": {"access_token": bad}})
        # Otherwise the state from before would count as a recovery.
        row.genuine = False
        return Fault(
            f"overwrote access_token in the Secret {row.target}",
            "it was repaired",
            lambda: row.genuine,
            started,
        )

    def _label_namespace(self) -> Fault:
        row, (*_, third) = self._state.rows[SHARED], SHARED_NAMESPACES
        before, started = row.token, time.monotonic()
        labels = {"labels": {SHARED_LABEL: "true"}}
        self._kube.patch(f"/api/v1/namespaces/{third}", {"metadata": labels})

        return Fault(
            f"labelled the namespace {third}",
            "it had a copy of the token that the others held already, without a token request,",
            lambda: row.copies.get(third) == before,
            started,
        )

    def _start_outage(self) -> Fault:
        row = self._state.rows[_REQUESTED]
        before = row.token
        self._endpoint.mode = "down"
        self._back_at = time.monotonic() + self.outage
        # So that even a short outage, in which no refresh is due, has an effect.
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        patch = {"metadata": {"annotations": {REFRESH_REQUESTED_AT: moment}}}
        self._kube.patch_token(NAMESPACE, _REQUESTED, patch)
        return Fault(
            f"stopped the token endpoint for {self.outage:.0f} s and requested a refresh of "
            f"{row.name}",
            "all resources were up to date",
            lambda: self._state.healthy and row.token != before,
        )
