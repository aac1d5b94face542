"""Compares the permissions that the chart grants with those that the audit log shows in use."""

import json
import time
from datetime import UTC, datetime

from tests.e2e.release import Release
from tests.e2e.team import CREDENTIALS, TARGET, Team
from tests.e2e.user import eventually
from tests.support.audit import Request
from tests.support.documented import REFRESH_REQUESTED_AT
from tests.support.encoding import encode

Right = tuple[str, str]
"""A resource and a verb."""

_FORBIDDEN = (401, 403)
# An update of what does not exist, such as the Lease, creates it and takes that permission, too.
_CREATES = {("update", 201): ("create",)}


def granted(release: Release) -> set[Right]:
    """Return the permissions of the release's ServiceAccount, from all roles bound to it."""
    user = release.stage.user
    found = set()
    for kind in ("rolebindings", "clusterrolebindings"):
        for binding in user.items(kind, "--all-namespaces"):
            accounts = [
                f"system:serviceaccount:{subject.get('namespace')}:{subject['name']}"
                for subject in binding.get("subjects", [])
            ]
            if release.account not in accounts:
                continue
            reference = binding["roleRef"]
            namespace = binding["metadata"].get("namespace", release.name)
            role = user.get(reference["kind"], reference["name"], "--namespace", namespace)
            found |= {
                (resource, verb)
                for rule in role["rules"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            }
    return found


def requests(release: Release, mark: int) -> list[Request]:
    """Return the requests of the release's ServiceAccount since the mark."""
    asked = release.stage.audit.since(mark, user_agent="")
    return [one for one in asked if one.user == release.account]


def used(asked: list[Request]) -> set[Right]:
    """Return the permissions that were used; public paths are not resources."""
    return {
        (f"{one.resource}/{one.subresource}".rstrip("/"), verb)
        for one in asked
        if one.resource
        for verb in (one.verb, *_CREATES.get((one.verb, one.code), ()))
    }


def denied(asked: list[Request], until: datetime) -> list[str]:
    """Return the requests that were denied until then.

    Later ones do not count: helm deletes the roles before the pods have stopped.
    """
    return [
        f"{one.verb} {one.resource} {one.namespace}/{one.name}"
        for one in asked
        if one.code in _FORBIDDEN and one.received_at < until
    ]


def exercise(team: Team) -> None:
    """Make the operator use all its permissions: a team makes mistakes and fixes them."""
    team.request_token()
    team.wait_ready()
    first = team.secrets()[TARGET]
    team.kubectl("delete", "secret", TARGET)
    eventually(lambda: team.secrets().get(TARGET, first) != first, "the target is recreated")
    time.sleep(1)  # a request must be later than the last refresh, in whole seconds
    asked = f"{REFRESH_REQUESTED_AT}={datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    version = team.version(TARGET)
    team.kubectl("annotate", "--overwrite", "pat", TARGET, asked)
    eventually(lambda: team.version(TARGET) != version, "the target is refreshed")
    changed = {"data": {"client_secret": encode("wrong")}}
    for _ in range(2):  # the second Event of a kind updates the first
        patch = ("--type", "merge", "--patch", json.dumps(changed))
        team.kubectl("patch", "secret", CREDENTIALS, *patch)
        eventually(lambda: team.condition("Refreshed")[0] == "False", "the failure is reported")
        team.kubectl("delete", "secret", CREDENTIALS)
        team.create_credentials()
        eventually(lambda: team.condition("Refreshed")[0] == "True", "the failure is over")


def compare(
    release: Release, given: set[Right], mark: int, until: datetime
) -> dict[str, list[str]]:
    """Return the comparison, once the last watches have ended and are in the audit log.

    Args:
        release: the release.
        given: its permissions.
        mark: of the audit log, from before it was installed.
        until: when uninstalling it started.
    """
    eventually(
        lambda: used(requests(release, mark)) == given,
        f"exactly these permissions are used: {sorted(given)}",
        timeout=15.0,
    )
    refused = denied(requests(release, mark), until)
    assert refused == []
    return {
        "granted and used": [f"{verb} {resource}" for resource, verb in sorted(given)],
        "granted, not used": [],
        "used, not granted": [],
        "denied": refused,
    }
