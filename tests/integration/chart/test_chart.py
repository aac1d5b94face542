"""The API server accepts the rendered chart, and the operator its arguments."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pinecone_token_operator.cli import run
from pinecone_token_operator.config.settings import Settings
from pinecone_token_operator.config.shard import Shard
from tests.support.chart import CHART, NAMESPACE, ROWS, helm, objects, of_kind, parse, render, row
from tests.support.cluster import Cluster
from tests.support.repository import ROOT
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs("helm")

WATCHED = ("chart-one", "chart-two")

each_row = pytest.mark.parametrize("name", ROWS)


@pytest.fixture(scope="module")
def namespaces(cluster: Cluster) -> Iterator[None]:
    names = (NAMESPACE, *WATCHED, "chart-accounts")
    for name in names:
        cluster.kubectl("create", "namespace", name)
    yield
    cluster.kubectl("delete", "namespace", *names, "--wait=false")


@pytest.fixture(scope="module")
def prometheus_operator(cluster: Cluster) -> Iterator[None]:
    """Install CRDs of the Prometheus Operator's kinds that accept anything.

    tests/chart checks their fields against the Prometheus Operator's own Go types.
    """
    definitions = yaml.safe_dump_all(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{kind.lower()}s.monitoring.coreos.com"},
            "spec": {
                "group": "monitoring.coreos.com",
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": f"{kind.lower()}s"},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {
                            "openAPIV3Schema": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            }
                        },
                    }
                ],
            },
        }
        for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule")
    )
    cluster.kubectl("apply", "-f", "-", input=definitions)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all")
    yield
    cluster.kubectl("delete", "--wait=false", "-f", "-", input=definitions)


@each_row
def test_helm_lint_passes(name: str) -> None:
    answer = helm("lint", "--strict", str(CHART), *row(name))

    assert answer.returncode == 0, answer.stdout + answer.stderr


@each_row
@pytest.mark.usefixtures("namespaces", "prometheus_operator")
def test_api_server_accepts_every_object(cluster: Cluster, name: str) -> None:
    rendered = render(*row(name))
    # A pod is rejected if its ServiceAccount does not exist, which a dry run does not create.
    accounts = [each for each in objects(*row(name)) if each["kind"] == "ServiceAccount"]
    if accounts:
        cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(accounts))

    # Strict validation: an unknown field is an error instead of being dropped.
    answer = cluster.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", input=rendered
    )

    expected = parse(rendered)
    assert answer.count("(server dry run)") == len(expected)


@each_row
@pytest.mark.usefixtures("namespaces")
def test_pods_meet_pod_security_standard_restricted(cluster: Cluster, name: str) -> None:
    cluster.kubectl(
        *("label", "--overwrite", "namespace", NAMESPACE),
        "pod-security.kubernetes.io/enforce=restricted",
    )
    found = objects(*row(name))
    pods = [each for each in found if each["kind"] == "Pod"]
    for deployment in deployments(found):
        name = deployment["metadata"]["name"]
        pod = {"apiVersion": "v1", "kind": "Pod", **deployment["spec"]["template"]}
        pods.append({**pod, "metadata": {**pod["metadata"], "name": name, "namespace": NAMESPACE}})
    for pod in pods:
        # Irrelevant to Pod Security, and they do not exist here.
        del pod["spec"]["serviceAccountName"]
        pod["spec"].pop("priorityClassName", None)

    cluster.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", input=yaml.safe_dump_all(pods)
    )


@each_row
def test_operator_accepts_the_rendered_arguments(name: str, endpoint: TokenEndpoint) -> None:
    shards = set()
    for deployment in deployments(objects(*row(name))):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        chosen = read_arguments(container, endpoint)
        assert container["ports"] == [{"name": "http", "containerPort": chosen.health_port}]
        assert bool(chosen.leader_election) == (name != "single-replica")
        shards.add(chosen.shard)

    assert shards == {Shard(index, len(shards)) for index in range(len(shards))}


@each_row
def test_lease_role_names_the_lease_of_every_shard(name: str, endpoint: TokenEndpoint) -> None:
    found = objects(*row(name))
    chosen = [
        read_arguments(each["spec"]["template"]["spec"]["containers"][0], endpoint)
        for each in deployments(found)
    ]
    used = {one.leader_election.name for one in chosen if one.leader_election}
    granted = {
        lease
        for each in found
        if each["kind"] == "Role" and each["metadata"]["name"].endswith("-leader-election")
        for rule in each["rules"]
        for lease in rule.get("resourceNames", ())
    }

    assert granted == (used if name != "external-rbac" else set())


def read_arguments(container: dict[str, Any], endpoint: TokenEndpoint) -> Settings:
    """Have the operator read a container's arguments, with a CA bundle that exists here."""
    command, *arguments = container["args"]
    assert command == "run"
    mounted = [one for one in arguments if one.startswith("--ca-bundle=")]
    arguments = [one for one in arguments if one not in mounted]
    if mounted:
        directory = str(Path(mounted[0].split("=")[1]).parent)
        assert directory in [mount["mountPath"] for mount in container["volumeMounts"]]
        arguments.append(f"--ca-bundle={endpoint.ca_bundle}")

    return run.parse(arguments, {})


def test_chart_defaults_match_the_operator_defaults() -> None:
    deployment = of_kind(objects(), "Deployment")
    _, *arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    # Two replicas need leader election, and a pod has no terminal.
    changed = ("--leader-elect", "--log-format")
    rest = [one for one in arguments if not one.startswith(changed)]

    assert run.parse(rest, {"PTO_LOG_FORMAT": "json"}) == run.parse([], {"PTO_LOG_FORMAT": "json"})
    election = run.parse(arguments, {}).leader_election
    own = run.parse(["--leader-elect", f"--leader-election-namespace={NAMESPACE}"], {})
    assert election is not None
    assert own.leader_election is not None
    assert election.name == "release-pinecone-token-operator"
    assert (election.lease_duration, election.renew_deadline, election.retry_period) == (
        own.leader_election.lease_duration,
        own.leader_election.renew_deadline,
        own.leader_election.retry_period,
    )


def test_selected_namespaces_get_roles_and_no_cluster_role() -> None:
    found = objects(*row("selected-namespaces"))

    assert [each for each in found if each["kind"].startswith("Cluster")] == []
    roles = {
        (each["metadata"]["name"], each["metadata"]["namespace"])
        for each in found
        if each["kind"] == "Role" and not belongs_to_helm_test(each)
    }
    name = "release-pinecone-token-operator"
    assert roles == {
        *((name, namespace) for namespace in WATCHED),
        (f"{name}-leader-election", NAMESPACE),
    }


def test_operator_cannot_delete_or_impersonate() -> None:
    found = objects()
    role = of_kind(found, "ClusterRole")
    lease = of_kind(found, "Role", "-leader-election")

    granted = {verb for rule in role["rules"] for verb in rule["verbs"]}
    assert granted == {"get", "list", "watch", "create", "patch"}
    secrets = [rule for rule in role["rules"] if "secrets" in rule["resources"]]
    assert [rule["verbs"] for rule in secrets] == [["get", "list", "watch", "create", "patch"]]
    assert [rule["resourceNames"] for rule in lease["rules"]] == [[lease_name(found)]]


def test_user_roles_cannot_write_status_or_read_secrets() -> None:
    found = objects()
    rules = [
        rule
        for suffix in ("-view", "-edit")
        for rule in of_kind(found, "ClusterRole", suffix)["rules"]
    ]

    assert {resource for rule in rules for resource in rule["resources"]} == {
        "pineconeaccesstokens",
        "pineconeaccesstokens/status",
    }
    written = [rule for rule in rules if "update" in rule["verbs"]]
    assert {resource for rule in written for resource in rule["resources"]} == {
        "pineconeaccesstokens"
    }


@each_row
def test_selector_matches_only_operator_pods(name: str) -> None:
    found = objects(*row(name))
    pods = [each["metadata"] for each in found if each["kind"] == "Pod"]
    pods += [each["spec"]["template"]["metadata"] for each in deployments(found)]

    for deployment in deployments(found):
        selector = deployment["spec"]["selector"]["matchLabels"]
        selected = [pod for pod in pods if selector.items() <= pod["labels"].items()]
        assert selected == [deployment["spec"]["template"]["metadata"]]


@pytest.mark.parametrize("version", ["1.28.15", "1.28.0-eks-1"])
def test_old_kubernetes_version_is_rejected(version: str) -> None:
    answer = helm("template", "release", str(CHART), "--kube-version", version)

    assert answer.returncode != 0
    assert "requires kubeVersion: >=1.29.0-0 which is incompatible" in answer.stderr


def test_rendered_crds_equal_those_in_crds() -> None:
    rendered = crds(objects("--set", "clusterAccessTokens.enabled=true"))

    sources = [yaml.safe_load(path.read_text("utf-8")) for path in (ROOT / "crds").iterdir()]
    assert {each["metadata"]["name"]: each["spec"] for each in rendered} == {
        each["metadata"]["name"]: each["spec"] for each in sources
    }


@pytest.mark.parametrize(
    ("options", "annotation"),
    [
        pytest.param((), "keep", id="kept by default"),
        pytest.param(("--set", "crds.keep=false"), None, id="removed with crds.keep=false"),
    ],
)
def test_crd_is_kept_on_uninstall_unless_disabled(
    options: tuple[str, ...], annotation: str | None
) -> None:
    found = [each["metadata"].get("annotations", {}) for each in crds(objects(*options))]

    assert {each.get("helm.sh/resource-policy") for each in found} == {annotation}


def notes(*options: str) -> str:
    """Return the notes that Helm prints after an installation."""
    command = ("install", "release", str(CHART), "--namespace", NAMESPACE, "--dry-run=client")
    answer = helm(*command, *options)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.split("\nNOTES:\n")[1]


@pytest.mark.usefixtures("namespaces")
def test_notes_contain_commands_that_work(cluster: Cluster) -> None:
    text = notes()

    assert f"kubectl -n {NAMESPACE} rollout status deployment/release-pinecone-tok" in text
    assert f"helm -n {NAMESPACE} test release" in text
    assert "Metrics are not scraped yet." in text
    manifest = textwrap.dedent(text.split("<<'END'\n")[1].split("   END\n")[0])
    cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=manifest)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("selected-namespaces", "(one of chart-one, chart-two)"),
        ("external-rbac", "rbac.create is false. Grant the operator its RBAC rules yourself"),
        ("external-rbac", "crds.enabled is false. Install the CustomResourceDefinition yourself"),
    ],
)
def test_notes_list_the_remaining_steps(name: str, text: str) -> None:
    assert text in notes(*row(name))


def test_packaged_chart_contains_crd_and_dashboard(tmp_path: Path) -> None:
    packed = helm("package", str(CHART), "--destination", str(tmp_path))
    assert packed.returncode == 0, packed.stderr
    (archive,) = tmp_path.glob("*.tgz")

    options = ("--kube-version", "1.37.2", "--set", "metrics.grafanaDashboard.enabled=true")
    answer = helm("template", "release", str(archive), *options)

    assert answer.returncode == 0, answer.stderr
    found = parse(answer.stdout)
    assert "CustomResourceDefinition" in {each["kind"] for each in found}
    assert (
        '"panels"'
        in of_kind(found, "ConfigMap", "-dashboard")["data"]["pinecone-token-operator.json"]
    )


def lease_name(found: list[dict[str, Any]]) -> str:
    arguments = of_kind(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    flag = "--leader-election-lease-name="
    (name,) = [each.removeprefix(flag) for each in arguments if each.startswith(flag)]
    return str(name)


def crds(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in found if each["kind"] == "CustomResourceDefinition"]


def deployments(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in found if each["kind"] == "Deployment"]


def belongs_to_helm_test(found: dict[str, Any]) -> bool:
    return "helm.sh/hook" in found["metadata"].get("annotations", {})
