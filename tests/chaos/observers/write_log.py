"""What the operator's replicas wrote and which of them leads, according to the audit log."""

import time

from tests.chaos.observers.periodic import Periodic
from tests.chaos.records import Key, Write
from tests.support.audit import AuditLog, Request

_WRITES = ("create", "update", "patch", "delete")
_POLL_SECONDS = 0.2
_RENEW_DEADLINE = 10.0


class WriteLog(Periodic):
    """Follows the audit log until it is left.

    Args:
        audit: the API server's audit log.
        user_prefix: what comes before a replica's name in its user name.
        start_wall: the start of the run, in UTC seconds.

    Attributes:
        writes: what was accepted so far.
    """

    def __init__(self, audit: AuditLog, user_prefix: str, start_wall: float) -> None:
        super().__init__("write log", self._follow, _POLL_SECONDS)
        self.writes: list[Write] = []
        self._renewed: Write | None = None
        self._audit = audit
        self._user_prefix = user_prefix
        self._start_wall = start_wall
        self._mark = 0

    @property
    def leader(self) -> str | None:
        """Return the replica that wrote the Lease last; None if it released it or is overdue."""
        renewed = self._renewed
        if renewed is None or not renewed.holder:
            return None
        age = time.time() - self._start_wall - renewed.answered
        return renewed.replica if age < _RENEW_DEADLINE else None

    def _follow(self) -> None:
        requests, self._mark = self._audit.read(self._mark)
        for request in requests:
            if request.verb in _WRITES and request.code < 300:
                self._record(request)

    def _record(self, request: Request) -> None:
        replica = request.user.removeprefix(self._user_prefix)
        subject = f"{request.resource}/{request.subresource}".rstrip("/")
        write = Write(
            replica=replica,
            received=request.received_at.timestamp() - self._start_wall,
            answered=request.answered_at.timestamp() - self._start_wall,
            what=f"{request.verb} {subject} {request.namespace}/{request.name}".rstrip("/"),
            holder=request.holder,
            secret=_written_secret(request),
        )
        self.writes.append(write)
        if write.holder is not None:
            self._renewed = write


def _written_secret(request: Request) -> Key | None:
    if request.resource != "secrets" or request.verb == "create":
        return None
    return request.namespace, request.name
