"""The operator is upgraded from version 0.1.0 while tokens are fresh.

Right is: what that version wrote is read, and costs no exchange and no write of a Secret.
"""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.api import CLIENT_ID, CLIENT_SECRET, Kube, eventually, secret_path
from tests.support.audit import AuditLog
from tests.support.cluster import Cluster
from tests.support.documented import ALLOW_MERGE, GROUP, KIND, PREFIX, VERSION
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TOKEN_PREFIX, TokenEndpoint

_TOKEN = f"{TOKEN_PREFIX}of-version-0.1.0"
_AUDIENCE = "https://api.pinecone.io/"
_MANAGED = '{"data":["access_token","expires_at","token_type"],"labels":[],"annotations":[]}'


def legacy_secret(resource: dict[str, Any], token_url: str) -> tuple[dict[str, str], Any]:
    """Return data and metadata of a target as version 0.1.0 wrote them."""
    name, uid = resource["metadata"]["name"], resource["metadata"]["uid"]
    now = datetime.now(UTC).replace(microsecond=0)
    refreshed_at, expires_at, refresh_at = (
        (now + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for minutes in (-5, 25, 14)
    )
    parts = [text.encode() for text in (CLIENT_ID, CLIENT_SECRET, _AUDIENCE, token_url)]
    credentials = digest(uid, b"".join(len(part).to_bytes(8, "big") + part for part in parts))
    checked = (_TOKEN, refreshed_at, expires_at, credentials)
    annotations = {
        f"{PREFIX}resource": name,
        f"{PREFIX}expires-at": expires_at,
        f"{PREFIX}refresh-at": refresh_at,
        f"{PREFIX}refreshed-at": refreshed_at,
        f"{PREFIX}credentials": credentials,
        f"{PREFIX}data": digest(uid, "\n".join(checked).encode()),
        f"{PREFIX}managed": _MANAGED,
    }
    owner = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": name,
        "uid": uid,
        "controller": True,
    }
    data = {"access_token": _TOKEN, "token_type": "Bearer", "expires_at": expires_at}
    labels = {f"{PREFIX}resource-uid": uid}
    if resource["spec"]["target"]["creationPolicy"] == "Merge":
        merged = {f"{PREFIX}deletion-policy": "Delete", ALLOW_MERGE: "true"}
        return data, {"labels": labels, "annotations": annotations | merged}
    return data, {"labels": labels, "annotations": annotations, "ownerReferences": [owner]}


def digest(uid: str, message: bytes) -> str:
    return hmac.new(uid.encode(), message, hashlib.sha256).hexdigest()[:32]


@pytest.mark.parametrize("policy", ["Owner", "Merge"])
def test_fresh_token_of_version_0_1_0_costs_nothing(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    policy: str,
) -> None:
    resource = kube.create_token(namespace, target={"creationPolicy": policy})
    data, metadata = legacy_secret(resource, endpoint.url)
    endpoint.tokens.append(_TOKEN)  # it must not be in the log either
    stored = kube.create_secret(namespace, "search", data, **metadata)
    audit = AuditLog(cluster.audit_log)
    mark = audit.mark()

    operator = start_operator()
    kube.until(namespace, "Ready", "TokenValid")
    operator.stop()
    operator.start()
    operator.wait_ready()
    kube.create_credentials(namespace, "changed")
    kube.create_token(namespace, "later", credentialsSecretRef={"name": "changed"})
    kube.until(namespace, "Ready", "TokenValid", "later")

    assert kube.secret_object(namespace, "search") == stored
    assert endpoint.exchanges == 1
    writes = [
        request.name
        for request in audit.since(mark, namespace=namespace)
        if request.resource == "secrets" and request.verb not in ("get", "list", "watch")
    ]
    assert "search" not in writes

    # The next write converts it.
    kube.patch(secret_path(namespace, "search"), {"data": {"token_type": None}})
    eventually(
        lambda: (
            f"{PREFIX}data"
            not in (kube.secret_object(namespace, "search") or {})["metadata"]["annotations"]
        ),
        "it is converted",
    )
    assert (kube.secret(namespace, "search") or {})["access_token"] == _TOKEN
