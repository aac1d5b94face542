"""The screens in docs/kubectl-plugin.md are what the commands print.

After a change, write them anew and review the diff: RENEW_SNAPSHOTS=1.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.api import Kube, token_path
from tests.support.kubectl_plugin import Plugin, container, run_pod
from tests.support.repository import ROOT

PAGE = ROOT / "docs" / "kubectl-plugin.md"
RENEW = os.environ.get("RENEW_SNAPSHOTS") == "1"
NAMESPACE = "storefront"
PREFIX = "pinecone.token-operator.dev"
SCREEN = re.compile(r"(<!-- screen: (.+?) -->\n```text\n)(.*?)(```\n)", re.DOTALL)


def moment(minutes: float) -> str:
    """Return a time so many minutes from now."""
    return (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: str, reason: str, message: str, since: float) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": moment(since),
    }


@pytest.fixture
def storefront(kube: Kube) -> Iterator[str]:
    """Return a namespace with two resources, a good pod and a bad one."""
    kube.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    kube.create_credentials(NAMESPACE)
    create_ready(kube)
    create_rejected(kube)
    volume = {"name": "token", "secret": {"secretName": "search"}}
    mount = {"name": "token", "mountPath": "/var/run/pinecone"}
    started = moment(-240.5)
    api = container("api", volumeMounts=[mount])
    run_pod(kube, NAMESPACE, "api", started, {"volumes": [volume], "containers": [api]})
    reference = {"name": "search", "key": "access_token"}
    variable = {"name": "PINECONE_TOKEN", "valueFrom": {"secretKeyRef": reference}}
    indexer = container("indexer", env=[variable])
    run_pod(kube, NAMESPACE, "indexer", started, {"containers": [indexer]})
    yield NAMESPACE
    kube.delete(f"/api/v1/namespaces/{NAMESPACE}")


def create_ready(kube: Kube) -> None:
    resource = kube.create_token(NAMESPACE, "search")
    uid = resource["metadata"]["uid"]
    times = {"expires-at": moment(19.5), "refreshed-at": moment(-10.5)}
    kube.create_secret(
        NAMESPACE,
        "search",
        {"access_token": "not-a-token"},
        labels={f"{PREFIX}/resource-uid": uid},
        annotations={f"{PREFIX}/{name}": value for name, value in times.items()}
        | {"reloader.stakater.com/ignore": "true"},
    )
    valid = f"the token in Secret {NAMESPACE}/search is valid until 2026-11-25T12:30:00Z"
    issued = "the token was issued at 2026-11-25T12:00:00Z"
    set_status(
        kube,
        "search",
        secretName="search",
        expiresAt=moment(19.5),
        refreshAt=moment(8.75),
        lastRefreshAt=moment(-10.5),
        conditions=[
            condition("Ready", "True", "TokenValid", valid, -240.5),
            condition("Refreshed", "True", "Succeeded", issued, -240.5),
        ],
    )
    kube.create(
        f"/api/v1/namespaces/{NAMESPACE}/events",
        {
            "metadata": {"name": "search.first"},
            "involvedObject": {
                "apiVersion": f"{PREFIX}/v1alpha1",
                "kind": "PineconeAccessToken",
                "namespace": NAMESPACE,
                "name": "search",
                "uid": uid,
            },
            "type": "Normal",
            "reason": "Issued",
            "message": valid,
            "count": 1,
            "lastTimestamp": moment(-240.5),
        },
    )


def create_rejected(kube: Kube) -> None:
    kube.create_token(NAMESPACE, "reports")
    rejected = (
        "the token endpoint rejected the credentials (HTTP 401, invalid_client);"
        f" check the client id and client secret in Secret {NAMESPACE}/account"
    )
    set_status(
        kube,
        "reports",
        failedAttempts=4,
        refreshAt=moment(3.75),
        conditions=[
            condition(
                "Ready",
                "False",
                "TokenMissing",
                f"Secret {NAMESPACE}/reports holds no token: {rejected}",
                -30.5,
            ),
            condition("Refreshed", "False", "Rejected", rejected, -30.5),
        ],
    )


def set_status(kube: Kube, name: str, **status: Any) -> None:
    path = f"{token_path(NAMESPACE, name)}/status"
    kube.patch(path, {"status": {"observedGeneration": 1, "failedAttempts": 0, **status}})


def test_screens_of_the_page_are_what_commands_print(storefront: str, plugin: Plugin) -> None:
    text = PAGE.read_text("utf-8")

    def show(found: re.Match[str]) -> str:
        shown = plugin.run_as_is(*found[2].split()).stdout
        # The seconds depend on how long this test takes.
        steady = re.sub(r"\b(\dm)\d\ds\b", r"\g<1>30s", shown)
        return f"{found[1]}{steady}{found[4]}"

    rendered = SCREEN.sub(show, text)
    if RENEW:
        PAGE.write_text(rendered, "utf-8")

    assert storefront in rendered
    assert "not-a-token" not in rendered
    assert rendered == text or RENEW, "review what RENEW_SNAPSHOTS=1 changes"
