"""The Lease object: who holds it, until when, and how to acquire, renew and release it. No I/O.

https://kubernetes.io/docs/concepts/architecture/leases/
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Lease = Mapping[str, Any]
"""The object as the API server stores it."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A Lease and when its last change was observed.

    Attributes:
        lease: the Lease.
        at: when the change was observed, in seconds of our monotonic clock.
    """

    lease: Lease
    at: float

    @property
    def holder(self) -> str:
        """The identity of the holder; empty if there is none."""
        return holder_of(self.lease)

    @property
    def version(self) -> str:
        """The resourceVersion."""
        version: str = self.lease["metadata"]["resourceVersion"]
        return version

    @property
    def free_at(self) -> float:
        """When anyone may acquire the Lease unless its holder renews it before."""
        if not self.holder:
            return self.at
        return self.at + float(self.lease["spec"].get("leaseDurationSeconds") or 0)


def holder_of(lease: Lease) -> str:
    """Return the identity of the holder; empty if there is none."""
    return (lease.get("spec") or {}).get("holderIdentity") or ""


def acquired(
    before: Lease | None, name: str, identity: str, duration: timedelta, now: datetime
) -> Lease:
    """Return the Lease as held by the identity; `before` is None if there is no Lease yet."""
    spec = {
        "holderIdentity": identity,
        "leaseDurationSeconds": int(duration.total_seconds()),
        "acquireTime": _micro_time(now),
        "renewTime": _micro_time(now),
        "leaseTransitions": 0,
    }
    if before is None:
        return {"metadata": {"name": name}, "spec": spec}
    transitions = (before.get("spec") or {}).get("leaseTransitions") or 0
    return {**before, "spec": {**spec, "leaseTransitions": int(transitions) + 1}}


def renewed(lease: Lease, now: datetime) -> Lease:
    """Return the Lease with a new renewTime."""
    return {**lease, "spec": {**lease["spec"], "renewTime": _micro_time(now)}}


def released(lease: Lease) -> Lease:
    """Return the Lease without a holder."""
    return {**lease, "spec": {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}}


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
