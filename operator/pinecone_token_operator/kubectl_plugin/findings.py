"""What `doctor` may find, and what it finds in a resource's own status. No I/O, no clock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final

from pinecone_token_operator.api.conditions import READY, REFRESHED, TARGETS_READY, Reason
from pinecone_token_operator.api.moments import parse_moment
from pinecone_token_operator.kubectl_plugin.resource import Resource, since, until

# An operator sets a status within a second; a leader that crashed is replaced within 17 s.
_PATIENCE: Final = timedelta(seconds=60)
_ADVICE: Final[Mapping[str, str]] = {
    Reason.THROTTLED: "request fewer tokens with this client id: share one resource per namespace,"
    " or use one service account per team",
    Reason.ACCESS_DENIED: "grant the operator's ServiceAccount what the message names; the chart's"
    " Role has it",
    Reason.TARGET_NOT_WRITABLE: "find the policy, webhook or quota that the message names, and"
    " exempt the target Secret from it",
    Reason.TARGET_ALTERED: "exempt the target Secret from the webhook that changes it",
    Reason.TARGET_INCOMPLETE: "exempt the target Secret from the policy, or change the template",
    Reason.TARGET_CONTESTED: "stop the other writer: the message names its field manager",
    Reason.UNAVAILABLE: "check the network path, proxy and NetworkPolicy from the operator's pods"
    " to the token endpoint",
    Reason.INTERNAL_ERROR: "report the traceback in the operator's log",
}


class Severity(IntEnum):
    """How much a finding matters."""

    NOTICE = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong or will be.

    Attributes:
        severity: how much it matters.
        subject: what it is about, for example `Deployment team-a/web`.
        problem: what is wrong.
        advice: what to do; empty if the problem says so.
    """

    severity: Severity
    subject: str
    problem: str
    advice: str = ""


def in_resource(resource: Resource, now: datetime) -> Iterator[Finding]:
    """Yield what a resource's status says."""
    subject = describe(resource)
    if resource.is_unseen():
        created = parse_moment(resource.obj["metadata"].get("creationTimestamp"))
        if created is None or now - created > _PATIENCE:
            yield Finding(
                Severity.ERROR,
                subject,
                f"no operator has set a status in {since(created, now)}",
                "check that an operator is running, and that it watches this namespace",
            )
        return
    if resource.is_suspended:
        expiry = until(resource.time("expiresAt"), now, "now expired")
        yield Finding(
            Severity.WARNING,
            subject,
            f"refreshing is suspended; the token's remaining lifetime: {expiry}",
            f"kubectl pinecone-token resume {_argument(resource)}",
        )
    elif finding := _overdue(resource, now, subject):
        yield finding
    yield from _conditions(resource, now, subject)


def describe(resource: Resource) -> str:
    """Return how a finding names a resource."""
    ref = resource.ref
    return f"{ref.kind.name} {ref.namespace}/{ref.name}".replace(" /", " ")


def _argument(resource: Resource) -> str:
    ref = resource.ref
    return f"{ref.argument} -n {ref.namespace}" if ref.namespace else ref.argument


def _overdue(resource: Resource, now: datetime, subject: str) -> Finding | None:
    refresh_at = resource.time("refreshAt")
    if refresh_at is None or now - refresh_at <= _PATIENCE:
        return None
    return Finding(
        Severity.ERROR,
        subject,
        f"the refresh has been overdue for {since(refresh_at, now)}: no operator is working on it",
        "check that an operator is running, has a leader, and watches this namespace",
    )


def _conditions(resource: Resource, now: datetime, subject: str) -> Iterator[Finding]:
    found: list[Finding] = []
    for kind, severity in (
        (READY, Severity.ERROR),
        (REFRESHED, Severity.WARNING),
        (TARGETS_READY, Severity.WARNING),
    ):
        condition = resource.condition(kind)
        reason, message = condition.get("reason"), str(condition.get("message"))
        is_good = condition.get("status") == "True" and reason != Reason.TARGET_INCOMPLETE
        # A suspended resource has a finding already.
        if not condition or is_good or (reason == Reason.SUSPENDED and resource.is_suspended):
            continue
        if found and found[0].problem.endswith(message):
            # The message of Ready ends with why the latest refresh failed.
            advice = found[0].advice or _ADVICE.get(str(reason), "")
            found[0] = replace(found[0], advice=advice)
        else:
            found.append(_condition(condition, severity, subject))
    yield from found
    if resource.condition(READY).get("status") == "True" and resource.is_expired(now):
        expired_at = resource.time("expiresAt")
        yield Finding(
            Severity.ERROR,
            subject,
            f"the token expired {since(expired_at, now)} ago, and Ready still says True",
            "check that an operator is running: it would have set Ready to False",
        )


def _condition(condition: Mapping[str, Any], severity: Severity, subject: str) -> Finding:
    reason = condition.get("reason")
    return Finding(
        severity,
        subject,
        f"{condition.get('type')} is {condition.get('status')}, {reason}:"
        f" {condition.get('message')}",
        _ADVICE.get(str(reason), ""),
    )
