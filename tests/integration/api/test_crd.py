"""What the CRD rejects, and that the error says what to do instead."""

import json
import uuid
from typing import Any

import pytest

from tests.support.cluster import Cluster

PREFIX = "pinecone.token-operator.dev/"


def token(name: str = "search", **spec: object) -> dict[str, Any]:
    return {
        "apiVersion": f"{PREFIX}v1alpha1",
        "kind": "PineconeAccessToken",
        "metadata": {"name": name},
        "spec": {"credentialsSecretRef": {"name": "account"}, **spec},
    }


def with_template(**template: object) -> dict[str, Any]:
    return token(target={"template": template})


def with_metadata(**metadata: object) -> dict[str, Any]:
    return with_template(metadata=metadata)


def with_reference(**reference: object) -> dict[str, Any]:
    return token(credentialsSecretRef={"name": "account", **reference})


ACCEPTED = [
    pytest.param(token(), id="minimal"),
    pytest.param(token("a" * 253), id="longest name"),
    pytest.param(
        token("account", target={"name": "other"}), id="target other than the credentials"
    ),
    pytest.param(with_reference(name="a.b-c.1"), id="name with dots"),
    pytest.param(with_reference(clientIDKey="Client_ID.txt-1"), id="valid Secret key"),
    pytest.param(token(refreshBefore="1s"), id="shortest duration"),
    pytest.param(token(refreshBefore="90s"), id="seconds"),
    pytest.param(token(refreshBefore="1h30m"), id="hours and minutes"),
    pytest.param(token(refreshBefore="24h"), id="longest duration"),
    pytest.param(with_template(data={"authorization": "Bearer ${access_token}"}), id="extra key"),
    pytest.param(
        with_template(data={"a": "$$5 ${token_type} ${access_token}\n${expires_at_unix} $${x}"}),
        id="placeholders and dollars",
    ),
    pytest.param(
        with_metadata(labels={"example.com/app": "search", "x": ""}, annotations={"a": "any ☃"}),
        id="labels and annotations",
    ),
]

REJECTED = [
    pytest.param(
        {k: v for k, v in token().items() if k != "spec"}, "spec: Required", id="missing spec"
    ),
    pytest.param(
        token(credentialsSecretRef=None), "spec.credentialsSecretRef", id="missing credentials"
    ),
    pytest.param(
        token(credentialsSecretRef={}), "credentialsSecretRef.name: Required", id="missing name"
    ),
    pytest.param(with_reference(name=""), "at least 1", id="empty credentials name"),
    pytest.param(with_reference(name="A_b"), "use lower-case letters", id="invalid Secret name"),
    pytest.param(with_reference(name="a..b"), "use lower-case letters", id="empty DNS label"),
    pytest.param(with_reference(name="a" * 254), "more than 253", id="name too long"),
    pytest.param(token(target={"name": "-a"}), "use lower-case letters", id="invalid target name"),
    pytest.param(token(target={"name": "a" * 254}), "more than 253", id="target name too long"),
    pytest.param(token(target={"name": ""}), "at least 1", id="empty target name"),
    pytest.param(
        with_reference(clientIDKey="a/b"), "use letters, digits", id="invalid client id key"
    ),
    pytest.param(
        with_reference(clientSecretKey="a b"), "use letters, digits", id="invalid client secret key"
    ),
    pytest.param(with_reference(clientIDKey="a" * 254), "more than 253", id="key too long"),
    pytest.param(
        token(target={"name": "account"}),
        "set spec.target.name to another name",
        id="target is the credentials Secret",
    ),
    pytest.param(
        token("account"),
        "set spec.target.name to another name",
        id="default target is the credentials Secret",
    ),
    pytest.param(
        token(target={"creationPolicy": "Orphan"}), '"Owner", "Merge"', id="unknown creation policy"
    ),
    pytest.param(
        token(target={"deletionPolicy": "Keep"}), '"Delete", "Retain"', id="unknown deletion policy"
    ),
    pytest.param(
        with_template(type="kubernetes.io/service-account-token"),
        "use Opaque",
        id="type that Kubernetes fills",
    ),
    pytest.param(with_template(type="helm.sh/release.v1"), "use Opaque", id="type of Helm"),
    pytest.param(
        with_template(type="bootstrap.kubernetes.io/token"), "use Opaque", id="bootstrap token"
    ),
    pytest.param(with_template(data={"a b": ""}), "use at most 253 letters", id="invalid data key"),
    pytest.param(
        with_template(data={"a" * 254: ""}), "use at most 253 letters", id="data key too long"
    ),
    *(
        pytest.param(with_template(data={key: ""}), "use another key", id=f"reserved key {key}")
        for key in ("access_token", "token_type", "expires_at")
    ),
    *(
        pytest.param(with_template(data={"a": text}), "use ${access_token}", id=f"value {text}")
        for text in ("$access_token", "${acess_token}", "costs $5", "a $", "${access_token", "${}")
    ),
    pytest.param(
        with_template(data={f"k{i}": "" for i in range(33)}), "at most 32", id="too many data keys"
    ),
    pytest.param(
        with_metadata(labels={f"{PREFIX}x": ""}), "use another prefix", id="operator's own label"
    ),
    pytest.param(
        with_metadata(annotations={f"{PREFIX}allow-merge": "true"}),
        "use another prefix",
        id="operator's own annotation",
    ),
    pytest.param(with_metadata(labels={"a b": ""}), "a key is malformed", id="invalid label key"),
    pytest.param(
        with_metadata(annotations={"a" * 64: ""}),
        "a key is malformed",
        id="annotation name too long",
    ),
    pytest.param(
        with_metadata(labels={"a": "b c"}), "must be a valid label value", id="invalid label value"
    ),
    pytest.param(with_metadata(labels={"a": "b" * 64}), "more than 63", id="label too long"),
    pytest.param(token(refreshBefore="600"), "use hours, minutes and", id="bare number"),
    pytest.param(token(refreshBefore="-10m"), "use hours, minutes and", id="signed duration"),
    pytest.param(token(refreshBefore="10m1h"), "use hours, minutes and", id="units out of order"),
    pytest.param(token(refreshBefore="1d"), "use hours, minutes and", id="days"),
    pytest.param(token(refreshBefore="0s"), "from 1s to 24h", id="duration too short"),
    pytest.param(token(refreshBefore="24h1s"), "from 1s to 24h", id="duration too long"),
    pytest.param(token(refreshBefore=600), "must be of type string", id="number as a duration"),
    pytest.param(token(suspend="yes"), "must be of type boolean", id="suspend as a string"),
]

CHANGES_REJECTED = [
    pytest.param({"name": "a"}, {"name": "b"}, "create another", id="changed target name"),
    pytest.param({}, {"name": "b"}, "create another", id="target name added"),
    pytest.param({"name": "a"}, {}, "create another", id="target name removed"),
    pytest.param({"name": "a"}, None, "create another", id="target block removed"),
    pytest.param(
        {"creationPolicy": "Merge"}, {}, "create it again", id="policy reset to the default"
    ),
    pytest.param({}, {"creationPolicy": "Merge"}, "create it again", id="changed creation policy"),
]

CHANGES_ACCEPTED = [
    pytest.param({}, {"deletionPolicy": "Retain"}, id="changed deletion policy"),
    pytest.param({}, {"creationPolicy": "Owner"}, id="default policy made explicit"),
    pytest.param({}, {"template": {"data": {"a": "b"}}}, id="changed template"),
    pytest.param({"name": "a"}, {"name": "a", "deletionPolicy": "Retain"}, id="unchanged name"),
]


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    name = f"crd-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    return name


def write(cluster: Cluster, namespace: str, verb: str, obj: object, *flags: str) -> str:
    # The API server validates, not kubectl.
    flags = ("--validate=false", "-o", "json", *flags)
    return cluster.kubectl(verb, "-n", namespace, "-f", "-", *flags, input=json.dumps(obj))


def with_target(target: object) -> dict[str, Any]:
    return token() if target is None else token(target=target)


@pytest.mark.parametrize("obj", ACCEPTED)
def test_crd_accepts_resource(cluster: Cluster, obj: object) -> None:
    write(cluster, "default", "create", obj, "--dry-run=server")


@pytest.mark.parametrize(("obj", "words"), REJECTED)
def test_crd_rejects_resource(cluster: Cluster, obj: object, words: str) -> None:
    with pytest.raises(Exception, match="is invalid") as caught:
        write(cluster, "default", "create", obj, "--dry-run=server")
    assert words in str(caught.value)


@pytest.mark.parametrize(("before", "after", "words"), CHANGES_REJECTED)
def test_crd_rejects_change(
    cluster: Cluster, namespace: str, before: object, after: object, words: str
) -> None:
    write(cluster, namespace, "create", with_target(before))
    with pytest.raises(Exception, match="is invalid") as caught:
        write(cluster, namespace, "replace", with_target(after))
    assert words in str(caught.value)


@pytest.mark.parametrize(("before", "after"), CHANGES_ACCEPTED)
def test_crd_accepts_change(
    cluster: Cluster, namespace: str, before: object, after: object
) -> None:
    write(cluster, namespace, "create", with_target(before))
    write(cluster, namespace, "replace", with_target(after))


def test_crd_fills_in_defaults(cluster: Cluster) -> None:
    created = json.loads(write(cluster, "default", "create", token(), "--dry-run=server"))
    assert created["spec"] == {
        "credentialsSecretRef": {
            "name": "account",
            "clientIDKey": "client_id",
            "clientSecretKey": "client_secret",
        },
        "target": {
            "creationPolicy": "Owner",
            "deletionPolicy": "Delete",
            "template": {"type": "Opaque"},
        },
        "suspend": False,
    }


def test_crd_prints_columns(cluster: Cluster, namespace: str) -> None:
    write(cluster, namespace, "create", token())
    status = {
        "secretName": "search",
        "expiresAt": "2026-11-25T12:30:00Z",
        "refreshAt": "2026-11-25T12:19:12Z",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "TokenValid",
                "message": "The token is valid.",
                "lastTransitionTime": "2026-11-25T12:00:00Z",
            }
        ],
    }
    patch = json.dumps({"status": status})
    flags = ("--subresource=status", "--type=merge", "-p", patch)
    cluster.kubectl("patch", "-n", namespace, "pat", "search", *flags)
    heads, row = cluster.kubectl("get", "-n", namespace, "pat").splitlines()
    assert heads.split() == ["NAME", "READY", "SECRET", "EXPIRES", "REFRESH", "AGE"]
    expected = ["search", "True", "search", status["expiresAt"], status["refreshAt"]]
    assert row.split()[:5] == expected
    wide = cluster.kubectl("get", "-n", namespace, "pinecone", "-o", "wide")
    assert "REASON" in wide
    assert "TokenValid" in wide
