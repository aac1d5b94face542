"""Reads the API server's audit log: which requests it received."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was answered; fields that do not apply are empty.

    Attributes:
        verb: such as get or patch.
        resource: plural, such as secrets.
        subresource: such as status.
        namespace: of the object.
        name: of the object.
        code: the HTTP status.
        user: who sent it.
        received_at: when it was received.
        answered_at: when it was answered.
        holder: the holder of the Lease that was read or written; None for other objects.
    """

    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    user: str
    received_at: datetime
    answered_at: datetime
    holder: str | None


class AuditLog:
    """The API server's audit log.

    A request is logged a moment after its response, a watch once it has ended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self) -> int:
        """Return the current end of the log."""
        return self._path.stat().st_size

    def since(
        self,
        mark: int,
        *,
        user_agent: str = "pinecone-token-operator",
        namespace: str | None = None,
    ) -> list[Request]:
        """Return the requests that were answered since the mark, in order.

        Args:
            mark: an earlier result of `mark()`.
            user_agent: what the client's User-Agent starts with; empty for all clients.
            namespace: the namespace of the object; None for any or none.
        """
        found, _ = self.read(mark, user_agent=user_agent)
        return [request for request in found if namespace in (None, request.namespace)]

    def read(
        self, mark: int, *, user_agent: str = "pinecone-token-operator"
    ) -> tuple[list[Request], int]:
        """Return what `since` would, and the mark for the next call."""
        if self.mark() < mark:
            raise ValueError("The audit log was rotated since the mark.")
        with self._path.open("rb") as log:
            log.seek(mark)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]  # the last line may be incomplete
        return list(_requests(whole, user_agent)), mark + len(whole)


def _requests(text: bytes, user_agent: str) -> Iterator[Request]:
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # cut off when the API server was killed
        if event["stage"] != "ResponseComplete":
            continue
        if not event.get("userAgent", "").startswith(user_agent):
            continue
        subject = event.get("objectRef", {})
        yield Request(
            verb=event["verb"],
            resource=subject.get("resource", ""),
            subresource=subject.get("subresource", ""),
            namespace=subject.get("namespace", ""),
            name=subject.get("name", ""),
            code=event.get("responseStatus", {}).get("code", 0),
            user=event.get("user", {}).get("username", ""),
            received_at=datetime.fromisoformat(event["requestReceivedTimestamp"]),
            answered_at=datetime.fromisoformat(event["stageTimestamp"]),
            holder=_holder(event) if subject.get("resource") == "leases" else None,
        )


def _holder(event: dict[str, Any]) -> str | None:
    spec = event.get("responseObject", {}).get("spec")
    return None if spec is None else spec.get("holderIdentity") or ""
