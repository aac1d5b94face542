"""What the API server was asked, by its own account."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was answered; what does not apply to it is empty."""

    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int


class AuditLog:
    """The API server's audit log. A request is in it a moment after its answer.

    A watch is in it once it has ended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self) -> int:
        """Return where the log ends now."""
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
            mark: an earlier answer of `mark()`.
            user_agent: what the client's name begins with; empty for all clients.
            namespace: the namespace asked about; None for any, or none.
        """
        if self.mark() < mark:
            raise ValueError("The audit log was rotated since the mark.")
        with self._path.open("rb") as log:
            log.seek(mark)
            lines = log.read().split(b"\n")[:-1]  # the last one is empty, or being written
        found = []
        for line in lines:
            event = json.loads(line)
            if event["stage"] != "ResponseComplete":
                continue
            if not event.get("userAgent", "").startswith(user_agent):
                continue
            subject = event.get("objectRef", {})
            request = Request(
                verb=event["verb"],
                resource=subject.get("resource", ""),
                subresource=subject.get("subresource", ""),
                namespace=subject.get("namespace", ""),
                name=subject.get("name", ""),
                code=event.get("responseStatus", {}).get("code", 0),
            )
            if namespace in (None, request.namespace):
                found.append(request)
        return found
