"""`doctor` and what is around a resource: operators, policies, rate limits, clocks, consumers."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.admission import DENYING_POLICY, POLICIES, POLICY_BINDINGS, probe, restricted_to
from tests.support.api import Kube, KubeError, eventually
from tests.support.kubectl_plugin import Plugin, container, create_ready_token, run_pod
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint
from tests.support.wall_clock import MISSING, WallClock, can_be_set

NAME = "search"
EARLY = "2026-01-01T00:00:00Z"
LATE = "2100-01-01T00:00:00Z"
NODE_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


@contextlib.contextmanager
def frozen(kube: Kube, namespace: str) -> Iterator[None]:
    """Have a policy deny each write of a Secret in a namespace."""
    kube.create(POLICIES, {"metadata": {"name": namespace}, "spec": DENYING_POLICY})
    binding = {
        "policyName": namespace,
        "validationActions": ["Deny"],
        "matchResources": restricted_to(namespace),
    }
    kube.create(POLICY_BINDINGS, {"metadata": {"name": namespace}, "spec": binding})

    def is_denied() -> bool:
        try:
            probe(kube, namespace)
        except KubeError:
            return True
        return False

    try:
        eventually(is_denied, "the policy denies", poll=0.1)
        yield
    finally:
        kube.delete(f"{POLICY_BINDINGS}/{namespace}")
        kube.delete(f"{POLICIES}/{namespace}")


def test_doctor_finds_a_policy_that_refuses_the_target(
    kube: Kube, namespace: str, start_operator: StartOperator, plugin: Plugin
) -> None:
    kube.create_credentials(namespace)
    start_operator()
    with frozen(kube, namespace):
        kube.create_token(namespace, NAME)
        kube.until(namespace, "Refreshed", "TargetNotWritable")
        done = plugin.run("doctor", NAME)

    assert done.returncode == 1
    assert f"ValidatingAdmissionPolicy {namespace} denied it" in done.stdout
    assert "What to do: find the policy, webhook or quota that the message names" in done.stdout


def test_doctor_finds_rate_limiting(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    plugin: Plugin,
) -> None:
    endpoint.mode = "429"
    kube.create_credentials(namespace)
    kube.create_token(namespace, NAME)
    start_operator()
    kube.until(namespace, "Refreshed", "Throttled")

    done = plugin.run("doctor", NAME)

    assert done.returncode == 1
    assert "What to do: request fewer tokens with this client id" in done.stdout


def test_doctor_finds_a_namespace_that_no_operator_watches(
    kube: Kube, namespace: str, plugin: Plugin
) -> None:
    kube.create_token(namespace, NAME)
    labels = {
        "app.kubernetes.io/name": "pinecone-token-operator",
        "app.kubernetes.io/component": "operator",
    }
    runs = container("operator", args=["run", "--namespace=somewhere-else"])
    template = {"metadata": {"labels": labels}, "spec": {"containers": [runs]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    kube.create(path, {"metadata": {"name": "operator", "labels": labels}, "spec": spec})
    try:
        done = plugin.run("doctor")
    finally:
        kube.delete(f"{path}/operator")

    assert f"ERROR    Namespace {namespace}" in done.stdout
    assert "What to do: add it to the chart's value watchNamespaces" in done.stdout


def test_doctor_finds_a_node_whose_clock_is_ahead(
    kube: Kube, namespace: str, plugin: Plugin
) -> None:
    kube.create_token(namespace, NAME)
    renewed_at = (datetime.now(UTC) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    spec = {"holderIdentity": namespace, "leaseDurationSeconds": 40, "renewTime": renewed_at}
    kube.create(NODE_LEASES, {"metadata": {"name": namespace}, "spec": spec})
    try:
        done = plugin.run("doctor")
    finally:
        kube.delete(f"{NODE_LEASES}/{namespace}")

    assert f"WARNING  Node {namespace}" in done.stdout
    assert "ahead of the API server's" in done.stdout


@pytest.mark.skipif(not can_be_set(), reason=MISSING)
def test_doctor_finds_that_its_own_clock_is_ahead(
    kube: Kube, namespace: str, plugin: Plugin, tmp_path: Path
) -> None:
    kube.create_token(namespace, NAME)
    clock = WallClock(tmp_path, timedelta(minutes=5))

    done = plugin.run("doctor", **clock.environ)

    assert "NOTICE   This machine" in done.stdout
    assert "ahead of the API server's; tokens and this output follow the API server's" in (
        done.stdout
    )


@pytest.mark.parametrize("started", [EARLY, LATE])
def test_doctor_finds_every_way_to_miss_a_new_token(
    started: str, kube: Kube, namespace: str, start_operator: StartOperator, plugin: Plugin
) -> None:
    start_operator()
    create_ready_token(kube, namespace)
    mount = {"name": "token", "mountPath": "/t"}
    copy = {"name": "copy", "mountPath": "/copy"}
    optional = {"name": "early", "secret": {"secretName": NAME, "optional": True}}
    spec = {
        "volumes": [
            {"name": "token", "secret": {"secretName": NAME}},
            optional,
            {"name": "copy", "emptyDir": {}},
        ],
        "initContainers": [container("copies", volumeMounts=[mount, copy])],
        "containers": [
            container("partial", volumeMounts=[{**mount, "subPath": "access_token"}]),
            container("every", envFrom=[{"secretRef": {"name": NAME}}]),
            container("copied", volumeMounts=[copy]),
            container(
                "early",
                volumeMounts=[{"name": "early", "mountPath": "/e", "subPath": "access_token"}],
            ),
        ],
    }
    run_pod(kube, namespace, "web", started, spec)

    done = plugin.run("doctor", NAME)

    then = "has an outdated token now" if started == EARLY else "will never see a new one"
    for what in (
        "container partial mounts the token by subPath at /t, which the kubelet never updates",
        "container every has the token in its environment (envFrom)",
        "container copied reads a copy in /copy that an init container made",
    ):
        line = next(line for line in done.stdout.splitlines() if what in line)
        assert then in line
    missing = "(optional: true): /e is an empty directory until it restarts"
    assert (missing in done.stdout) is (started == EARLY)
