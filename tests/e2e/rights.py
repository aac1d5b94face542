"""What the chart's roles grant, beside what the audit log shows being used."""

import base64
import json
import time
from datetime import UTC, datetime

from pinecone_token_operator.api.access_token import REFRESH_REQUESTED_AT
from tests.e2e.release import Release
from tests.e2e.team import CREDENTIALS, TARGET, Team
from tests.e2e.user import eventually
from tests.support.audit import Request

Right = tuple[str, str]  # resource and verb

_FORBIDDEN = (401, 403)


def granted(release: Release) -> set[Right]:
    """Return the rights of the release's account, by the roles that it is bound to."""
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
    """Return what the release's account has asked the API server for since the mark."""
    asked = release.stage.audit.since(mark, user_agent="")
    return [one for one in asked if one.user == release.account]


def used(asked: list[Request]) -> set[Right]:
    """Return the rights that were needed; paths that everybody may read are no resource."""
    return {
        (f"{one.resource}/{one.subresource}".rstrip("/"), one.verb) for one in asked if one.resource
    }


def denied(asked: list[Request], until: datetime) -> list[str]:
    """Return what was refused until then. Helm takes the rights away before the pods have ended."""
    return [
        f"{one.verb} {one.resource} {one.namespace}/{one.name}"
        for one in asked
        if one.code in _FORBIDDEN and one.received_at < until
    ]


def exercise(team: Team) -> None:
    """Have the operator do all that it can do: a team makes its mistakes, and mends them."""
    team.ask()
    team.wait_ready()
    first = team.secrets()[TARGET]
    team.kubectl("delete", "secret", TARGET)
    eventually(lambda: team.secrets().get(TARGET, first) != first, "the target is back")
    time.sleep(1)  # a request counts when it is later than the last refresh, by the second
    asked = f"{REFRESH_REQUESTED_AT}={datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    version = team.version(TARGET)
    team.kubectl("annotate", "--overwrite", "pat", TARGET, asked)
    eventually(lambda: team.version(TARGET) != version, "the target is refreshed")
    changed = {"data": {"client_secret": base64.b64encode(b"wrong").decode()}}
    for _ in range(2):  # the second Event of a kind is counted up
        patch = ("--type", "merge", "--patch", json.dumps(changed))
        team.kubectl("patch", "secret", CREDENTIALS, *patch)
        eventually(lambda: team.condition("Refreshed")[0] == "False", "the failure is told")
        team.kubectl("delete", "secret", CREDENTIALS)
        team.give_credentials()
        eventually(lambda: team.condition("Refreshed")[0] == "True", "and its end")


def compare(
    release: Release, given: set[Right], mark: int, until: datetime
) -> dict[str, list[str]]:
    """Return the comparison, once the last watches have ended and are in the log.

    Args:
        release: whose account it is.
        given: its rights.
        mark: of the audit log, before it was installed.
        until: when it began to be uninstalled.
    """
    eventually(
        lambda: used(requests(release, mark)) == given,
        f"all of {sorted(given)} used, and nothing else",
        seconds=15.0,
    )
    refused = denied(requests(release, mark), until)
    assert refused == []
    return {
        "granted and used": [f"{verb} {resource}" for resource, verb in sorted(given)],
        "granted, not used": [],
        "used, not granted": [],
        "denied": refused,
    }
