"""Whether a resource and its target are as they should be."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pinecone_token_operator.targets.target import EXPIRES_AT, RESOURCE_UID
from tests.chaos.population import LABEL, Member
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
    ahead: float,
) -> str | None:
    """Return the first thing that is wrong, without any secret; None if all is right.

    Args:
        member: what was asked for.
        resource: the resource as it is.
        secret: its target.
        issued: the tokens that the endpoint issued.
        rotated_at: when its credentials were changed last.
        now: monotonic seconds.
        ahead: how far the seconds of the epoch are ahead of the monotonic ones.
    """
    if resource is None:
        return "the resource is not there"
    status = _status_problem(resource)
    if secret is None:
        wrong: str | None = "the target is not there"
    else:
        wrong = _token_problem(
            secret.get("data") or {}, issued, rotated_at, now, ahead
        ) or _metadata_problem(member, resource, secret)
    return "; ".join(filter(None, (wrong, status))) or None


def _token_problem(
    data: Mapping[str, str],
    issued: Mapping[str, Issue],
    rotated_at: float,
    now: float,
    ahead: float,
) -> str | None:
    if not data.keys() >= _KEYS:  # what others add is theirs
        return f"the target has the keys {sorted(data)}"
    text = {
        name: base64.b64decode(value).decode("utf-8", "replace") for name, value in data.items()
    }
    issue = issued.get(text["access_token"])
    if issue is None:
        return "the token endpoint never issued what the target holds"
    if issue.expires_at <= now or issue.issued_at < rotated_at:
        age = now - issue.issued_at
        return f"the token has expired, or its credentials were changed; it is {age:.0f} s old"
    if text["authorization"] != f"Bearer {text['access_token']}" or text["token_type"] != "Bearer":
        return "a key of the target is not what the template says"
    if (
        datetime.fromisoformat(text["expires_at"]).timestamp()
        > issue.expires_at + ahead + _ROUNDING
    ):
        return "expires_at is later than the token's end"
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
    stated = base64.b64decode(secret["data"]["expires_at"]).decode()
    if (metadata.get("annotations") or {}).get(EXPIRES_AT) != stated:
        return "the annotations are not those of the token"
    return None


def _status_problem(resource: Mapping[str, Any]) -> str | None:
    conditions = resource.get("status", {}).get("conditions", ())
    for condition in conditions:
        if condition["status"] != "True":
            return f"{condition['type']} is {condition['status']}: {condition['reason']}"
    return None if len(conditions) == 2 else "the status has not both conditions"
