"""The chart fits clusters with quotas, default-deny policies and injected sidecars."""

from typing import Any

import pytest

from tests.support.chart import objects, of_kind, template

pytestmark = pytest.mark.programs("helm")

HELM_TEST = "release-pinecone-token-operator-test"


def set_json(name: str, value: str) -> tuple[str, str]:
    return ("--set-json", f"{name}={value}")


def check_pod(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the pod of helm test."""
    (pod,) = [each for each in found if each["kind"] == "Pod"]
    return pod


def policies(*options: str) -> dict[str, dict[str, Any]]:
    return {
        each["metadata"]["name"]: each
        for each in objects(*options)
        if each["kind"] == "NetworkPolicy"
    }


def ports(rule: dict[str, Any]) -> set[tuple[str, int]]:
    return {(each["protocol"], each["port"]) for each in rule["ports"]}


def test_network_policy_allows_dns_on_ports_53_and_5353() -> None:
    for policy in policies("--set", "networkPolicy.enabled=true").values():
        assert ports(policy["spec"]["egress"][0]) == {
            (protocol, port) for protocol in ("UDP", "TCP") for port in (53, 5353)
        }


def test_network_policy_dns_ports_are_configurable() -> None:
    options = ("--set", "networkPolicy.enabled=true,networkPolicy.dns.ports={1053}")

    for policy in policies(*options).values():
        assert ports(policy["spec"]["egress"][0]) == {("UDP", 1053), ("TCP", 1053)}


def test_helm_test_policy_allows_its_pod_the_api_server() -> None:
    options = ("--set", "networkPolicy.enabled=true,networkPolicy.apiServer.ports={6443}")
    pod = check_pod(objects(*options))
    policy = policies(*options)[HELM_TEST]

    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert ("TCP", 6443) in ports(policy["spec"]["egress"][1])
    # A hook that runs before the pod's, or it would come too late.
    hook = policy["metadata"]["annotations"]
    assert hook["helm.sh/hook"] == "test"
    assert int(hook["helm.sh/hook-weight"]) < 0


@pytest.mark.parametrize(
    ("options", "names"),
    [
        pytest.param("", set(), id="default"),
        pytest.param("helmTest.networkPolicy.enabled=true", {HELM_TEST}, id="only for helm test"),
        pytest.param(
            "networkPolicy.enabled=true,helmTest.networkPolicy.enabled=false",
            {HELM_TEST.removesuffix("-test")},
            id="not for helm test",
        ),
    ],
)
def test_helm_test_policy_can_be_switched(options: str, names: set[str]) -> None:
    assert policies("--set", options).keys() == names


def test_helm_test_pod_takes_its_settings_from_values() -> None:
    pod = check_pod(
        objects(
            *("--set", "helmTest.labels.queue=small,helmTest.annotations.note=check"),
            *("--set", "helmTest.resources.limits.cpu=100m"),
            *("--set", "helmTest.podSecurityContext.runAsUser=1000"),
            *("--set", "helmTest.securityContext.runAsNonRoot=true"),
        )
    )

    (container,) = pod["spec"]["containers"]
    assert pod["metadata"]["labels"]["queue"] == "small"
    assert pod["metadata"]["annotations"]["note"] == "check"
    assert container["resources"]["limits"] == {"cpu": "100m", "memory": "256Mi"}
    assert pod["spec"]["securityContext"] == {"runAsUser": 1000}
    assert container["securityContext"] == {"runAsNonRoot": True}


def test_helm_test_pod_keeps_sidecars_out_by_default() -> None:
    metadata = check_pod(objects())["metadata"]

    assert metadata["labels"]["sidecar.istio.io/inject"] == "false"
    assert metadata["annotations"]["linkerd.io/inject"] == "disabled"


def test_rollout_stays_within_a_full_quota_when_configured() -> None:
    options = set_json(
        "updateStrategy",
        '{"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}',
    )

    deployment = of_kind(objects(*options), "Deployment")

    assert deployment["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
    }


def test_overlapping_rollout_is_rejected_without_leader_election() -> None:
    options = "replicas=1,leaderElection.enabled=false,updateStrategy.type=RollingUpdate"

    answer = template("--set", options)

    assert answer.returncode != 0
    assert "updateStrategy.type must be Recreate" in answer.stderr


def test_every_shard_has_a_deployment_and_a_disruption_budget() -> None:
    found = objects("--set", "shards=3")
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in found
        if each["kind"] == "Deployment"
    }
    budgets = {
        each["metadata"]["name"]: each["spec"]["selector"]["matchLabels"]
        for each in found
        if each["kind"] == "PodDisruptionBudget"
    }

    assert len(pods) == 3
    for name, selector in budgets.items():
        assert [one for one, labels in pods.items() if selector.items() <= labels.items()] == [name]
    assert budgets.keys() == pods.keys()
