"""Whether a resource, its target and its status are as they should be."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tests.chaos.population import LABEL, Fleet, Member
from tests.chaos.records import Key
from tests.support.conditions import conditions
from tests.support.documented import EXPIRES_AT, RESOURCE_UID
from tests.support.encoding import text
from tests.support.token_endpoint import Issue

_KEYS = {"access_token", "token_type", "expires_at", "authorization"}
_ROUNDING = 1.0


def problem(
    member: Member,
    resource: Mapping[str, Any] | None,
    secret: Mapping[str, Any] | None,
    issued: Mapping[str, Issue],
    rotated_at: float,
    now: float,
    wall_offset: float,
) -> str | None:
    """Return what is wrong, without any secret; None if everything is right.

    Args:
        member: what was asked for.
        resource: the resource as it is.
        secret: its target.
        issued: the tokens that the endpoint issued.
        rotated_at: when its credentials were rotated last, in monotonic seconds.
        now: monotonic seconds.
        wall_offset: what to add to monotonic seconds to get UTC seconds.
    """
    if resource is None:
        return "the resource does not exist"
    if secret is None:
        wrong: str | None = "the target does not exist"
    else:
        wrong = _token_problem(
            secret.get("data") or {}, issued, rotated_at, now, wall_offset
        ) or _metadata_problem(member, resource, secret)
    return "; ".join(filter(None, (wrong, _status_problem(resource)))) or None


def fleet_problem(
    fleet: Fleet,
    resource: Mapping[str, Any] | None,
    secrets: Mapping[Key, Mapping[str, Any]],
    issued: Mapping[str, Issue],
    rotated_at: float,
    now: float,
) -> str | None:
    """Return what is wrong with a cluster-scoped resource or its copies, without any secret.

    Args:
        fleet: what was asked for.
        resource: the resource as it is.
        secrets: all Secrets.
        issued: the tokens that the endpoint issued.
        rotated_at: when its credentials were rotated last, in monotonic seconds.
        now: monotonic seconds.
    """
    if resource is None:
        return "the resource does not exist"
    uid, tokens = resource["metadata"]["uid"], set()
    for key in fleet.copies:
        secret = secrets.get(key)
        if secret is None:
            return f"{key[0]} has no copy"
        if [each["uid"] for each in secret["metadata"].get("ownerReferences") or ()] != [uid]:
            return f"the owner reference of the copy in {key[0]} is not the resource's"
        tokens.add(text(secret.get("data"), "access_token"))
    if len(tokens) > 1:
        return f"the copies hold {len(tokens)} different tokens"
    issue = issued.get(tokens.pop())
    if issue is None or issue.expires_at <= now or issue.issued_at < rotated_at:
        return "the token was not issued, has expired or is older than its credentials"
    return _status_problem(resource, ("Ready", "Refreshed", "TargetsReady"))


def _token_problem(
    data: Mapping[str, str],
    issued: Mapping[str, Issue],
    rotated_at: float,
    now: float,
    wall_offset: float,
) -> str | None:
    if not data.keys() >= _KEYS:  # other keys belong to others
        return f"the target has the keys {sorted(data)}"
    values = {name: text(data, name) for name in data}
    issue = issued.get(values["access_token"])
    if issue is None:
        return "the token endpoint did not issue what the target holds"
    if issue.expires_at <= now or issue.issued_at < rotated_at:
        age = now - issue.issued_at
        return f"the token has expired or is older than its credentials; it is {age:.0f} s old"
    expected = {"authorization": f"Bearer {values['access_token']}", "token_type": "Bearer"}
    if wrong := [name for name, value in expected.items() if values[name] != value]:
        return f"the target has wrong values: {', '.join(wrong)}"
    stated = datetime.fromisoformat(values["expires_at"]).timestamp()
    if stated > issue.expires_at + wall_offset + _ROUNDING:
        return "expires_at is later than the token's expiry"
    return None


def _metadata_problem(
    member: Member, resource: Mapping[str, Any], secret: Mapping[str, Any]
) -> str | None:
    uid, metadata = resource["metadata"]["uid"], secret["metadata"]
    labels = metadata.get("labels") or {}
    if [each["uid"] for each in metadata.get("ownerReferences") or ()] != [uid]:
        return "the owner reference is not the resource's"
    if labels.get(LABEL) != member.name or labels.get(RESOURCE_UID) != uid:
        return "a label of the target is missing"
    if (metadata.get("annotations") or {}).get(EXPIRES_AT) != text(secret["data"], "expires_at"):
        return "the annotations do not match the token"
    return None


def _status_problem(
    resource: Mapping[str, Any], types: Sequence[str] = ("Ready", "Refreshed")
) -> str | None:
    found = conditions(resource)
    for type_ in types:
        if type_ not in found:
            return f"the status has no condition {type_}"
        if found[type_]["status"] != "True":
            return f"{type_} is {found[type_]['status']}: {found[type_]['reason']}"
    return None
