"""What `doctor` finds in a status, in operators, webhooks, clocks and files, from tables."""

from typing import Any

import pytest

from pinecone_token_operator.kubectl_plugin import files, installation, webhooks
from pinecone_token_operator.kubectl_plugin.consumers import find_uses
from pinecone_token_operator.kubectl_plugin.findings import Severity, in_resource
from pinecone_token_operator.kubectl_plugin.kinds import CLUSTER, NAMESPACED
from pinecone_token_operator.kubectl_plugin.resource import Resource
from tests.support.builders import NOON, after, raw_resource


def condition(kind: str, status: str, reason: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": "why; what to do"}


GOOD = [condition("Ready", "True", "TokenValid"), condition("Refreshed", "True", "Succeeded")]
FRESH = {"expiresAt": "2026-11-25T12:30:00Z", "refreshAt": "2026-11-25T12:19:00Z"}


@pytest.mark.parametrize(
    ("status", "spec", "severity", "words"),
    [
        pytest.param({}, {}, Severity.ERROR, "no operator has set a status in 70m", id="unseen"),
        pytest.param(
            {"conditions": GOOD, **FRESH, "refreshAt": "2026-11-25T12:05:00Z"},
            {},
            Severity.ERROR,
            "the refresh has been overdue for 5m: no operator is working on it",
            id="overdue",
        ),
        pytest.param(
            {"conditions": GOOD, **FRESH},
            {"suspend": True},
            Severity.WARNING,
            "refreshing is suspended; the token's remaining lifetime: 20m",
            id="suspended",
        ),
        pytest.param(
            {"conditions": [GOOD[0], condition("Refreshed", "False", "Throttled")], **FRESH},
            {},
            Severity.WARNING,
            "Refreshed is False, Throttled: why; what to do",
            id="throttled",
        ),
        pytest.param(
            {
                "conditions": [
                    condition("Ready", "False", "CredentialsInvalid"),
                    condition("Refreshed", "False", "CredentialsInvalid"),
                ]
            },
            {},
            Severity.ERROR,
            "Ready is False, CredentialsInvalid: why; what to do",
            id="one cause is one finding",
        ),
        pytest.param(
            {
                "conditions": [
                    condition("Ready", "False", "TokenMissing") | {"message": "no token: why"},
                    condition("Refreshed", "False", "Throttled") | {"message": "why"},
                ]
            },
            {},
            Severity.ERROR,
            "Ready is False, TokenMissing: no token: why",
            id="cause of a missing token",
        ),
        pytest.param(
            {"conditions": [GOOD[0], condition("Refreshed", "True", "TargetIncomplete")], **FRESH},
            {},
            Severity.WARNING,
            "Refreshed is True, TargetIncomplete: why; what to do",
            id="policy that refuses a part",
        ),
        pytest.param(
            {"conditions": [*GOOD, condition("TargetsReady", "False", "Failed")], **FRESH},
            {},
            Severity.WARNING,
            "TargetsReady is False, Failed: why; what to do",
            id="one of many targets",
        ),
        pytest.param(
            {"conditions": GOOD, "expiresAt": "2026-11-25T12:08:00Z"},
            {},
            Severity.ERROR,
            "the token expired 2m ago, and Ready still says True",
            id="expired",
        ),
    ],
)
def test_trouble_in_a_status_is_found(
    status: dict[str, Any], spec: dict[str, Any], severity: Severity, words: str
) -> None:
    resource = Resource(NAMESPACED, raw_resource(status=status, **spec))

    (finding,) = in_resource(resource, after(10))

    assert (finding.severity, finding.problem) == (severity, words)
    assert finding.subject == "PineconeAccessToken shop/search"


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(raw_resource(status={"conditions": GOOD, **FRESH}), id="ready"),
        pytest.param(raw_resource({"creationTimestamp": "2026-11-25T12:09:30Z"}), id="new"),
    ],
)
def test_resource_without_trouble_has_no_finding(obj: dict[str, Any]) -> None:
    assert list(in_resource(Resource(NAMESPACED, obj), after(10))) == []


def test_cluster_scoped_resource_is_named_without_a_namespace() -> None:
    obj = raw_resource({"namespace": ""})

    (finding,) = in_resource(Resource(CLUSTER, obj), NOON)

    assert finding.subject == "ClusterPineconeAccessToken search"


def deployment(
    *arguments: str, ready: int = 1, chart: str = "pinecone-token-operator-0.1.0"
) -> Any:
    return {
        "metadata": {"namespace": "ops", "name": "operator", "labels": {"helm.sh/chart": chart}},
        "spec": {
            "template": {
                "spec": {
                    "serviceAccountName": "account",
                    "containers": [{"name": "operator", "args": ["run", *arguments]}],
                }
            }
        },
        "status": {"readyReplicas": ready},
    }


def test_operator_is_read_from_its_deployment() -> None:
    arguments = ["--namespace=a", "--namespace=b,c", "--leader-elect", "--shard=1/2"]
    arguments.append("--leader-election-lease-name=lease")

    (found,) = installation.find_installations([deployment(*arguments)])

    assert found == installation.Installation(
        "ops", "operator", "account", frozenset("abc"), "lease-1", 1
    )


@pytest.mark.parametrize(
    ("arguments", "credentials"),
    [
        ((), ""),
        (("--cluster-resource-namespace=vault",), ""),
        (("--enable-cluster-access-tokens",), "ops"),
        (("--enable-cluster-access-tokens", "--cluster-resource-namespace=vault"), "vault"),
    ],
)
def test_cluster_resource_namespace_is_read(arguments: tuple[str, ...], credentials: str) -> None:
    (found,) = installation.find_installations([deployment(*arguments)])

    assert found.credentials == credentials


def test_deployment_of_another_chart_is_no_operator() -> None:
    assert installation.find_installations([deployment(chart="nginx-1.0.0")]) == []


@pytest.mark.parametrize(
    ("deployments", "has_fresh_token", "problems"),
    [
        pytest.param([], False, ["no Deployment of the operator's chart was found"], id="none"),
        pytest.param([], True, [], id="runs elsewhere"),
        pytest.param([deployment()], False, [], id="serves all namespaces"),
        pytest.param([deployment(ready=0)], True, ["the operator has no ready pod"], id="no pod"),
        pytest.param(
            [deployment("--namespace=a")],
            True,
            ["no operator watches it; watched are: a"],
            id="other namespace",
        ),
    ],
)
def test_namespace_that_no_operator_serves_is_found(
    deployments: list[Any], has_fresh_token: bool, problems: list[str]
) -> None:
    installations = installation.find_installations(deployments)

    found = installation.in_installations(installations, ["shop"], has_fresh_token=has_fresh_token)

    assert [each.problem for each in found] == problems


@pytest.mark.parametrize(
    ("lease", "problem"),
    [
        (None, "no leader: nobody holds Lease lease"),
        ({"spec": {"holderIdentity": ""}}, "no leader: nobody holds Lease lease"),
        (
            {
                "spec": {
                    "holderIdentity": "a",
                    "leaseDurationSeconds": 15,
                    "renewTime": "2026-11-25T11:59:00.000000Z",
                }
            },
            "no leader: Lease lease was last renewed 60s ago",
        ),
        (
            {
                "spec": {
                    "holderIdentity": "a",
                    "leaseDurationSeconds": 15,
                    "renewTime": "2026-11-25T11:59:55.000000Z",
                }
            },
            None,
        ),
    ],
)
def test_missing_leader_is_found(lease: Any, problem: str | None) -> None:
    found = installation.Installation("ops", "operator", "account", frozenset(), "lease", 1)

    findings = [each.problem for each in installation.in_lease(found, lease, NOON)]

    assert findings == ([problem] if problem else [])


@pytest.mark.parametrize(
    ("renewed", "is_found"), [("2026-11-25T12:00:40Z", True), ("2026-11-25T11:59:50Z", False)]
)
def test_node_whose_clock_is_ahead_is_found(renewed: str, is_found: bool) -> None:
    lease = {"metadata": {"name": "node-1"}, "spec": {"renewTime": renewed}}

    assert bool(list(installation.in_clocks([lease], NOON))) is is_found


def webhook(**changes: Any) -> dict[str, Any]:
    rule = {"apiGroups": [""], "resources": ["secrets"], "operations": ["CREATE"]}
    service = {"namespace": "policy", "name": "engine"}
    fields = {"name": "w", "clientConfig": {"service": service}, "rules": [rule]}
    return {"webhooks": [fields | changes]}


@pytest.mark.parametrize(
    ("changes", "is_required"),
    [
        ({}, True),
        ({"failurePolicy": "Ignore"}, False),
        ({"rules": [{"apiGroups": ["apps"], "resources": ["*"], "operations": ["*"]}]}, False),
        ({"rules": [{"apiGroups": ["*"], "resources": ["*"], "operations": ["DELETE"]}]}, False),
        ({"rules": [{"apiGroups": ["*"], "resources": ["*/*"], "operations": ["*"]}]}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, False),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}},
            True,
        ),
        ({"clientConfig": {"url": "https://example.com"}}, False),
    ],
)
def test_webhook_that_must_answer_is_found(changes: dict[str, Any], is_required: bool) -> None:
    found = webhooks.find_required([webhook(**changes)], [{"team": "a"}])

    assert bool(found) is is_required


@pytest.mark.parametrize(
    ("slices", "is_found"),
    [
        ([], True),
        ([{"endpoints": [{"conditions": {"ready": False}}]}], True),
        ([{"endpoints": [{"conditions": {"ready": True}}]}], False),
        ([{"endpoints": [{}]}], False),
    ],
)
def test_webhook_without_a_ready_endpoint_is_found(slices: list[Any], is_found: bool) -> None:
    each = webhooks.Webhook("w", "policy", "engine")

    assert bool(list(webhooks.in_webhook(each, slices))) is is_found


@pytest.mark.parametrize(
    ("mounted", "minutes", "severity"),
    [
        pytest.param("2026-11-25T12:30:00Z", 5, None, id="the current token"),
        pytest.param("2026-11-25T12:10:00Z", 1, None, id="the kubelet has time"),
        pytest.param("2026-11-25T12:10:00Z", 5, Severity.WARNING, id="old file"),
        pytest.param("2026-11-25T12:10:00Z", 15, Severity.ERROR, id="expired file"),
        pytest.param("garbage", 15, None, id="not a time"),
    ],
)
def test_file_that_is_older_than_the_target_is_found(
    mounted: str, minutes: int, severity: Severity | None
) -> None:
    prefix = "pinecone.token-operator.dev"
    annotations = {
        f"{prefix}/expires-at": "2026-11-25T12:30:00Z",
        f"{prefix}/refreshed-at": "2026-11-25T12:00:00Z",
    }
    pod = {
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {
            "volumes": [{"name": "v", "secret": {"secretName": "search"}}],
            "containers": [{"name": "app", "volumeMounts": [{"name": "v", "mountPath": "/t"}]}],
        },
    }
    (use,) = find_uses([pod], "search")

    found = files.in_file(
        use, f"{mounted}\n", {"metadata": {"annotations": annotations}}, after(minutes)
    )

    assert [each.severity for each in found] == ([] if severity is None else [severity])
