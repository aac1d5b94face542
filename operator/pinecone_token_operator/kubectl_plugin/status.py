"""`status`: a table of resources, or all about one of them."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pinecone_token_operator.api.conditions import READY, REFRESHED
from pinecone_token_operator.api.moments import parse_moment
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kubectl_plugin import events
from pinecone_token_operator.kubectl_plugin.consumers import find_uses
from pinecone_token_operator.kubectl_plugin.diagnose import print_findings
from pinecone_token_operator.kubectl_plugin.doctor import Examination
from pinecone_token_operator.kubectl_plugin.kinds import Reference
from pinecone_token_operator.kubectl_plugin.output import BOLD, GREEN, Output, clean
from pinecone_token_operator.kubectl_plugin.resource import Resource, since, until
from pinecone_token_operator.kubectl_plugin.session import Session, why_unread

POLL: Final = timedelta(seconds=2)
HEADER: Final = (
    "NAMESPACE",
    "NAME",
    "READY",
    "REFRESHED",
    "EXPIRES IN",
    "NEXT REFRESH",
    "TARGET",
    "MESSAGE",
)


def status(session: Session, ref: Reference | None, *, form: str, watch: bool) -> int:
    """Print the status of one resource or of all; the exit code is 1 if one is not ready.

    Raises:
        ApiError: the API server refused or did not answer.
    """
    code = _print(session, resources := _read(session, ref), ref, form)
    while watch:
        time.sleep(POLL.total_seconds())
        before, resources = resources, _read(session, ref)
        if changed := _changed(before, resources, session.api.now()):
            code = _print(session, changed, ref, form)
    return code


def _read(session: Session, ref: Reference | None) -> list[Resource]:
    return [session.get(ref)] if ref else list(session.list())


def _changed(
    before: Sequence[Resource], after: Sequence[Resource], now: datetime
) -> list[Resource]:
    """Return the resources that differ, and those whose token has expired since."""
    known = {each.ref: each for each in before}
    return [
        each
        for each in after
        if (old := known.get(each.ref)) is None
        or old.obj["metadata"].get("resourceVersion") != each.obj["metadata"].get("resourceVersion")
        or old.is_ready(now - POLL) != each.is_ready(now)
    ]


def _print(
    session: Session, resources: Sequence[Resource], ref: Reference | None, form: str
) -> int:
    now, output = session.api.now(), session.output
    if form:
        objects = [_without_managed_fields(each) for each in resources]
        items = {"apiVersion": "v1", "kind": "List", "items": objects}
        output.dump(objects[0] if ref else items, form)
    elif ref:
        Screen(session, resources[0]).show()
    elif resources:
        output.table(HEADER, [row(each, now, output) for each in resources])
    elif session.namespace is None:
        output.note("No resources found.")
    else:
        output.note(f"No resources found in namespace {session.namespace}.")
    return int(not all(each.is_ready(now) for each in resources))


def row(resource: Resource, now: datetime, output: Output) -> list[str]:
    """Return a resource's row of the table."""
    ref = resource.ref
    return [
        ref.namespace or "-",
        ref.argument,
        output.state(ready(resource, now)),
        output.state(str(resource.condition(REFRESHED).get("status", "-"))),
        until(resource.time("expiresAt"), now, "expired"),
        next_refresh(resource, now),
        target(resource),
        clean(resource.message(now)),
    ]


def ready(resource: Resource, now: datetime) -> str:
    """Return the status of Ready; False for an expired token, even if the condition is True."""
    if resource.condition(READY).get("status") == "True" and resource.is_expired(now):
        return "False"
    return str(resource.condition(READY).get("status", "Unknown"))


def next_refresh(resource: Resource, now: datetime) -> str:
    """Return when the next refresh is due."""
    return "suspended" if resource.is_suspended else until(resource.time("refreshAt"), now, "due")


def target(resource: Resource) -> str:
    """Return the target's name; for many targets also how many of them are ready."""
    counts = resource.status.get("targets")
    if not isinstance(counts, dict):
        return resource.target
    return f"{resource.target} ({counts.get('ready', 0)}/{counts.get('matched', 0)})"


class Screen:
    """All about one resource, in titled sections."""

    def __init__(self, session: Session, resource: Resource) -> None:
        self._session = session
        self._output = session.output
        self._resource = resource
        self._now = session.api.now()

    def show(self) -> None:
        """Print it."""
        resource, now = self._resource, self._now
        examination = Examination(self._session, reads_files=False)
        examination.examine_consumers(resource)
        ref = resource.ref
        self._pairs(
            ("Kind", ref.kind.name),
            *((("Namespace", ref.namespace),) if ref.namespace else ()),
            ("Name", ref.name),
            ("Ready", self._output.state(ready(resource, now))),
        )
        self._title("Credentials")
        # A cluster-scoped resource does not say in which namespace its credentials are.
        self._pairs(("Secret", self._secret(ref.namespace, resource.credentials)))
        self._title("Token")
        self._pairs(
            ("Issued", _ago(resource.time("lastRefreshAt"), now)),
            ("Expires in", until(resource.time("expiresAt"), now, "expired")),
            ("Next refresh in", next_refresh(resource, now)),
            ("Failed attempts", str(resource.status.get("failedAttempts", 0))),
        )
        self._title("Target")
        self._pairs(*self._target())
        self._title("Conditions")
        self._conditions()
        self._title("Events")
        self._events()
        self._title("Consumers")
        self._consumers(examination)
        self._title("What to do")
        print_findings(examination.findings, self._output)
        if not examination.findings:
            self._output.line(self._output.color("Nothing: no problems found.", GREEN))
        for each in examination.unchecked:
            self._output.line(f"Not checked: {clean(each)}")

    def _title(self, text: str) -> None:
        self._output.line()
        self._output.line(self._output.color(text.upper(), BOLD))

    def _pairs(self, *pairs: tuple[str, str]) -> None:
        self._output.aligned([[f"{name}:", clean_color(value)] for name, value in pairs])

    def _secret(self, namespace: str, name: str) -> str:
        if not namespace:
            return f"{name} (in the operator's cluster resource namespace)"
        try:
            self._session.secret(namespace, name)
        except ApiError as error:
            return f"{name} ({why_unread(error)})"
        return f"{name} (exists)"

    def _target(self) -> list[tuple[str, str]]:
        resource = self._resource
        spec = resource.spec.get("target") or {}
        namespace = resource.ref.namespace
        if namespace:
            return [
                ("Secret", self._secret(namespace, resource.target)),
                ("Creation policy", str(spec.get("creationPolicy", "Owner"))),
                ("Deletion policy", str(spec.get("deletionPolicy", "Delete"))),
            ]
        counts = resource.status.get("targets") or {}
        failed = [
            (f"Failed in {each.get('namespace')}", f"{each.get('reason')}: {each.get('message')}")
            for each in counts.get("failed") or ()
        ]
        summary = f"{counts.get('ready', 0)} of {counts.get('matched', 0)} namespaces"
        return [("Secret", resource.target), ("Ready in", summary), *failed]

    def _conditions(self) -> None:
        rows = [
            [
                clean(each.get("type")),
                self._output.state(clean(each.get("status"))),
                clean(each.get("reason")),
                since(parse_moment(each.get("lastTransitionTime")), self._now),
                clean(each.get("message")),
            ]
            for each in self._resource.conditions
        ]
        if rows:
            self._output.table(["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"], rows)
        else:
            self._output.line("None: no operator has set a status yet.")

    def _events(self) -> None:
        try:
            found = events.list_events(self._session, self._resource.ref)
        except ApiError as error:
            self._output.line(f"Not shown: {clean(error.message)}")
            return
        rows = [[*each[:4], each[5]] for each in events.rows(found, self._now, self._output)]
        if rows:
            self._output.table(["LAST SEEN", "COUNT", "TYPE", "REASON", "MESSAGE"], rows)
        else:
            self._output.line("None.")

    def _consumers(self, examination: Examination) -> None:
        namespace = self._resource.ref.namespace or self._session.own_namespace
        uses = find_uses(examination.pods(namespace), self._resource.target)
        rows = [
            [use.owner, use.pod, use.container, str(use.way), clean(use.where) or "-"]
            for use in uses
        ]
        if rows:
            header = ["WORKLOAD", "POD", "CONTAINER", "TAKES IT BY", "WHERE"]
            self._output.table(header, rows)
        else:
            self._output.line(f"None found in namespace {namespace}.")


def clean_color(text: str) -> str:
    """Return a text on one line; the colors that `Output` added stay."""
    return text if text.startswith("\x1b[") else clean(text)


def _ago(moment: datetime | None, now: datetime) -> str:
    return "-" if moment is None else f"{since(moment, now)} ago"


def _without_managed_fields(resource: Resource) -> Mapping[str, Any]:
    metadata = {
        key: value for key, value in resource.obj["metadata"].items() if key != "managedFields"
    }
    # The items of a list have neither.
    head = {"apiVersion": resource.kind.api.api.removeprefix("/apis/"), "kind": resource.kind.name}
    return {**head, **resource.obj, "metadata": metadata}
