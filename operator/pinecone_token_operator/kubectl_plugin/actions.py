"""`refresh`, `suspend`, `resume` and `print`."""

import base64
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from pinecone_token_operator.api.conditions import REFRESHED
from pinecone_token_operator.api.group import REFRESH_REQUESTED_AT
from pinecone_token_operator.api.moments import parse_moment
from pinecone_token_operator.kube.paths import SECRETS
from pinecone_token_operator.kubectl_plugin.kinds import Reference
from pinecone_token_operator.kubectl_plugin.output import clean
from pinecone_token_operator.kubectl_plugin.resource import Resource, since, until
from pinecone_token_operator.kubectl_plugin.session import Session
from pinecone_token_operator.targets import names

KEY: Final = "access_token"

_POLL: Final = timedelta(milliseconds=300)


def refresh(session: Session, ref: Reference, timeout: timedelta, *, wait: bool) -> int:
    """Request a refresh, wait for its result if asked to, and return the exit code.

    Args:
        session: the API server.
        ref: the resource.
        timeout: how long to wait.
        wait: whether to wait.

    Raises:
        ApiError: the API server refused or did not answer.
    """
    # With microseconds, because only a new value is a request.
    request = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    annotations = {REFRESH_REQUESTED_AT: request}
    before = session.patch(ref, {"metadata": {"annotations": annotations}})
    if before.is_suspended:
        session.output.note(
            f"{ref} is suspended: it is not refreshed until"
            f" 'kubectl pinecone-token resume {ref.argument}'"
        )
        return 1
    if not wait:
        session.output.line(f"{ref} refresh requested")
        return 0
    deadline = time.monotonic() + timeout.total_seconds()
    while True:
        found = session.get(ref)
        if found.status.get("lastHandledRefreshRequest") == request:
            expiry = until(found.time("expiresAt"), session.api.now(), "now")
            session.output.line(f"{ref} refreshed; the token expires in {expiry}")
            return 0
        if failure := _failure(before, found):
            session.output.note(f"{ref} not refreshed: {clean(failure)}")
            return 1
        if time.monotonic() > deadline:
            session.output.note(
                f"{ref} not refreshed in {timeout.total_seconds():g} s: {clean(_reason(found))}"
            )
            return 1
        time.sleep(_POLL.total_seconds())


def _failure(before: Resource, found: Resource) -> str:
    """Return why the requested refresh failed; empty as long as nothing says so."""
    is_new = found.condition(REFRESHED) != before.condition(REFRESHED) or found.status.get(
        "failedAttempts", 0
    ) > before.status.get("failedAttempts", 0)
    if is_new and found.condition(REFRESHED).get("status") == "False":
        return _reason(found)
    return ""


def _reason(found: Resource) -> str:
    condition = found.condition(REFRESHED)
    if condition.get("status") == "False":
        return f"{condition.get('reason')}: {condition.get('message')}"
    return "no operator has handled the request; try 'kubectl pinecone-token doctor'"


def suspend(session: Session, ref: Reference, *, suspended: bool) -> int:
    """Suspend or resume refreshing, and return the exit code.

    Raises:
        ApiError: the API server refused or did not answer.
    """
    found = session.patch(ref, {"spec": {"suspend": suspended}})
    if not suspended:
        session.output.line(f"{ref} resumed")
        return 0
    expiry = until(found.time("expiresAt"), session.api.now(), "")
    rest = f"; its token expires in {expiry}" if expiry not in ("", "-") else ""
    session.output.line(f"{ref} suspended{rest}")
    return 0


def print_token(session: Session, ref: Reference) -> int:
    """Print the token and nothing else, and return the exit code.

    Raises:
        ApiError: the target cannot be read.
    """
    target = session.get(ref).target
    namespace = ref.namespace or session.own_namespace
    secret = session.api.request("GET", SECRETS.item(namespace, target))
    annotations = secret["metadata"].get("annotations") or {}
    expires_at = parse_moment(annotations.get(names.EXPIRES_AT))
    now = session.api.now()
    if expires_at is not None and expires_at <= now:
        session.output.note(
            f"the token in Secret {namespace}/{target} expired {since(expires_at, now)} ago;"
            " try 'kubectl pinecone-token doctor'"
        )
        return 1
    try:
        token = base64.b64decode((secret.get("data") or {})[KEY], validate=True).decode("ascii")
    except (KeyError, ValueError):
        session.output.note(f"Secret {namespace}/{target} has no token in the key {KEY}")
        return 1
    session.output.line(token)
    return 0
