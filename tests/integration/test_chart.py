"""The chart renders to objects that a real API server takes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster import Cluster
from tests.support.control_plane import binaries

CHART = Path(__file__).resolve().parents[2] / "charts" / "pinecone-token-operator"
CRD = Path(__file__).resolve().parents[2] / "crds" / "pineconeaccesstokens.yaml"
NAMESPACE = "chart-operator"
WATCHED = ("chart-one", "chart-two")

CLUSTER_WIDE: tuple[str, ...] = ()
SOME_NAMESPACES = ("--set", f"watchNamespaces={{{','.join(WATCHED)}}}")
EVERYTHING = (
    *("--set", "tokenEndpoint.caBundle.configMapName=ca"),
    *("--set", "resources.requests.memory=64Mi"),
    *("--set", "imagePullSecrets[0].name=registry"),
    *("--set", "extraEnv[0].name=HTTPS_PROXY", "--set", "extraEnv[0].value=http://proxy:3128"),
    *("--set", "podLabels.team=search", "--set", "podAnnotations.note=text"),
    *("--set", "nodeSelector.disk=ssd", "--set", "tolerations[0].operator=Exists"),
    *("--set", "crds.keep=false"),
)

values = pytest.mark.parametrize(
    "options",
    [
        pytest.param(CLUSTER_WIDE, id="in all namespaces"),
        pytest.param(SOME_NAMESPACES, id="in some namespaces"),
        pytest.param(EVERYTHING, id="with every optional part"),
    ],
)


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(binaries("helm")["helm"]), *arguments], check=False, capture_output=True, text=True
    )


def render(*options: str) -> str:
    arguments = ("template", "release", str(CHART), "--namespace", NAMESPACE)
    answer = helm(*arguments, "--kube-version", "1.37.2", *options)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def objects(*options: str) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(render(*options)) if found]


@pytest.fixture(scope="module")
def namespaces(cluster: Cluster) -> Iterator[None]:
    names = (NAMESPACE, *WATCHED)
    for name in names:
        cluster.kubectl("create", "namespace", name)
    yield
    cluster.kubectl("delete", "namespace", *names, "--wait=false")


@values
def test_helm_finds_nothing_to_complain_about(options: tuple[str, ...]) -> None:
    answer = helm("lint", "--strict", str(CHART), *options)

    assert answer.returncode == 0, answer.stdout + answer.stderr


@values
@pytest.mark.usefixtures("namespaces")
def test_the_api_server_takes_every_object(cluster: Cluster, options: tuple[str, ...]) -> None:
    rendered = render(*options)

    # Strict: a misspelt field is an error, not something to drop.
    answer = cluster.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", input=rendered
    )

    expected = [found for found in yaml.safe_load_all(rendered) if found]
    assert answer.count("(server dry run)") == len(expected)


def test_some_namespaces_get_roles_and_nothing_is_granted_elsewhere() -> None:
    rendered = [found for found in objects(*SOME_NAMESPACES) if "rbac" in found["apiVersion"]]

    assert {(found["kind"], found["metadata"].get("namespace")) for found in rendered} == {
        (kind, namespace) for kind in ("Role", "RoleBinding") for namespace in WATCHED
    }


def test_the_operator_may_never_delete_or_impersonate() -> None:
    (role,) = [found for found in objects() if found["kind"] == "ClusterRole"]

    granted = {verb for rule in role["rules"] for verb in rule["verbs"]}
    assert granted == {"get", "list", "watch", "create", "patch"}
    secrets = [rule for rule in role["rules"] if "secrets" in rule["resources"]]
    assert [rule["verbs"] for rule in secrets] == [["get", "list", "watch", "create", "patch"]]


def test_the_rendered_crd_is_the_canonical_one() -> None:
    (rendered,) = [found for found in objects() if found["kind"] == "CustomResourceDefinition"]

    canonical = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    assert rendered["spec"] == canonical["spec"]
    assert rendered["metadata"]["name"] == canonical["metadata"]["name"]


@pytest.mark.parametrize(
    ("options", "annotation"),
    [
        pytest.param((), "keep", id="kept by default"),
        pytest.param(("--set", "crds.keep=false"), None, id="removed if that is asked for"),
    ],
)
def test_the_crd_on_uninstall_is(options: tuple[str, ...], annotation: str | None) -> None:
    (crd,) = [found for found in objects(*options) if found["kind"] == "CustomResourceDefinition"]

    found = crd["metadata"].get("annotations", {})
    assert found.get("helm.sh/resource-policy") == annotation


def test_the_crd_can_be_left_out() -> None:
    kinds = [found["kind"] for found in objects("--set", "crds.enabled=false")]

    assert "CustomResourceDefinition" not in kinds
    assert "Deployment" in kinds


@pytest.mark.parametrize(
    "option",
    [
        pytest.param("watchNamespace=typo", id="an unknown value"),
        pytest.param("tokenEndpoint.url=http://login.example", id="an endpoint without TLS"),
        pytest.param("maxConcurrentExchanges=0", id="no exchange at all"),
        pytest.param("log.level=loud", id="an unknown log level"),
    ],
)
def test_the_schema_refuses(option: str) -> None:
    answer = helm("template", "release", str(CHART), "--set", option)

    assert answer.returncode != 0
    assert option.split("=", 1)[0].rsplit(".", 1)[-1] in answer.stderr


def test_a_packaged_chart_carries_the_crd(tmp_path: Path) -> None:
    packed = helm("package", str(CHART), "--destination", str(tmp_path))
    assert packed.returncode == 0, packed.stderr
    (archive,) = tmp_path.glob("*.tgz")

    answer = helm("template", "release", str(archive), "--kube-version", "1.37.2")

    assert answer.returncode == 0, answer.stderr
    assert "kind: CustomResourceDefinition" in answer.stdout
