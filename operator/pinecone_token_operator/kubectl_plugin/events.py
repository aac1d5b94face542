"""`events`: what the operator recorded about resources."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pinecone_token_operator.api.moments import parse_moment
from pinecone_token_operator.kube.paths import EVENTS
from pinecone_token_operator.kubectl_plugin.kinds import KINDS, Reference
from pinecone_token_operator.kubectl_plugin.output import RED, Output, clean
from pinecone_token_operator.kubectl_plugin.resource import since
from pinecone_token_operator.kubectl_plugin.session import Session

# Events about cluster-scoped resources are there.
_CLUSTER_EVENTS: Final = "default"
_EPOCH: Final = datetime.fromtimestamp(0, UTC)

Object = Mapping[str, Any]


def events(session: Session, ref: Reference | None) -> int:
    """Print the Events of one resource or of all, oldest first.

    Raises:
        ApiError: they cannot be read.
    """
    found = list_events(session, ref)
    if not found:
        session.output.note("No Events found. Kubernetes keeps them for an hour by default.")
        return 0
    header = ["LAST SEEN", "COUNT", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    session.output.table(header, rows(found, session.api.now(), session.output))
    return 0


def list_events(session: Session, ref: Reference | None) -> list[Object]:
    """Return the Events of one resource or of all in the namespace, oldest first.

    Raises:
        ApiError: they cannot be read.
    """
    namespace = (ref.namespace or _CLUSTER_EVENTS) if ref else session.namespace
    kinds = [ref.kind] if ref else KINDS
    found: list[Object] = []
    for kind in kinds:
        selector = f"involvedObject.kind={kind.name}"
        if ref:
            selector += f",involvedObject.name={ref.name}"
        found += session.api.list(EVENTS.collection(namespace), [("fieldSelector", selector)])
    return sorted(found, key=lambda each: _last_seen(each) or _EPOCH)


def rows(found: Sequence[Object], now: datetime, output: Output) -> list[list[str]]:
    """Return a table's rows."""
    return [
        [
            since(_last_seen(each), now),
            str(each.get("count") or 1),
            output.color(clean(each.get("type")), RED if each.get("type") == "Warning" else ""),
            clean(each.get("reason")),
            clean(f"{each['involvedObject']['kind'].lower()}/{each['involvedObject']['name']}"),
            clean(each.get("message")),
        ]
        for each in found
    ]


def _last_seen(event: Object) -> datetime | None:
    for field in ("lastTimestamp", "eventTime", "firstTimestamp"):
        if moment := parse_moment(event.get(field)):
            return moment
    return None
