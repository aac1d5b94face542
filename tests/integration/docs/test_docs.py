"""README.md and docs/ can be followed: commands work, manifests are valid, links resolve.

Each page is followed from top to bottom on an empty cluster with the operator running as in a pod.
Commands that need a node are skipped; tests/support/documents.py lists them with the reason.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinecone_token_operator.telemetry.metrics import Metrics
from tests.support.chart import CHART, SCHEMA, template
from tests.support.cluster import Cluster
from tests.support.control_plane import binaries
from tests.support.documents import DOCS, README, anchors, blocks, links, script
from tests.support.operator_process import Operator
from tests.support.repository import ROOT
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs("helm", *Cluster.PROGRAMS, Cluster.CONTROLLERS)

DOCUMENTS = [README, *DOCS]
# What the reader of these pages has done before.
INSTALLED = {
    "cluster-tokens",
    "consuming",
    "kubectl-plugin",
    "security",
    "troubleshooting",
    "uninstalling",
    "upgrading",
}
USED = {"kubectl-plugin", "security", "troubleshooting", "uninstalling", "upgrading"}
# Flags of docker, helm and kubectl that the pages explain.
FLAGS_OF_OTHERS = {
    *("--build-arg", "--dry-run", "--no-hooks", "--reset-then-reuse-values", "--set"),
    "--take-ownership",
}
INSTALL = """
helm install pinecone-token-operator charts/pinecone-token-operator \
  --namespace pinecone-token-operator --create-namespace
kubectl wait --for=condition=Established crd --all
helm upgrade pinecone-token-operator charts/pinecone-token-operator \
  --namespace pinecone-token-operator --set log.level=debug
"""
USE = """
kubectl apply -f examples/credentials.yaml -f examples/access-token.yaml -f examples/pod.yaml
kubectl wait --for=condition=Ready pineconeaccesstoken --all --timeout=60s
"""


class Reader:
    """Runs the commands of a page in a checkout, with kubectl and helm on the PATH."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._directory = directory
        programs = directory / "bin"
        programs.mkdir(parents=True)
        for name, path in binaries("kubectl", "helm").items():
            (programs / name).symlink_to(path)
        for name in ("Makefile", "charts", "crds", "examples"):
            (directory / name).symlink_to(ROOT / name)
        # make creates one; here it is the environment that runs the tests.
        (directory / ".venv").symlink_to(Path(sys.executable).parents[1])
        for name in (
            "pinecone-token-operator",
            "kubectl-pinecone_token",
            "kubectl_complete-pinecone_token",
        ):
            (programs / name).symlink_to(Path(sys.executable).with_name(name))
        self._environ = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(directory),
            "KUBECONFIG": str(cluster.kubeconfig),
        }

    def reach(self, endpoint: TokenEndpoint) -> None:
        """Have the sidecar request tokens here."""
        self._environ["PTO_TOKEN_URL"] = endpoint.url
        self._environ["PTO_CA_BUNDLE"] = str(endpoint.ca_bundle)

    def run(self, text: str, where: str) -> str:
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-euo", "pipefail", "-c", text],
            cwd=self._directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{where}:\n{text}\n{done.stdout}"
        return done.stdout


@pytest.fixture
def page_cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    # One page shows the user roles, which the controller manager aggregates.
    if request.getfixturevalue("document").stem == "installation":
        with Cluster(tmp_path / "cluster", controller_manager=True, audit=False) as cluster:
            yield cluster
    else:
        yield request.getfixturevalue("empty_cluster")


@pytest.fixture
def reader(document: Path, page_cluster: Cluster, tmp_path: Path) -> Iterator[Reader]:
    name, cluster = document.stem, page_cluster
    shell = Reader(cluster, tmp_path / "checkout")
    if name in INSTALLED:
        shell.run(INSTALL, "installation")
    with TokenEndpoint(directory=tmp_path / "certificates") as endpoint:
        shell.reach(endpoint)
        shutil.copy(endpoint.ca_bundle, tmp_path / "checkout" / "proxy-ca.pem")
        with Operator(
            cluster.kubeconfig,
            endpoint.url,
            endpoint.ca_bundle,
            tmp_path / "operator",
            forked=True,
        ) as operator:
            operator.wait_ready()
            if name in USED:
                shell.run(USE, "usage")
            yield shell


each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)


def scripts(document: Path) -> list[tuple[str, str]]:
    """Return where on a page something is to be run, and what."""
    found = [(block.line, script(block)) for block in blocks(document, "sh")]
    apply = "kubectl apply --dry-run=server --validate=strict -f -"
    found += [
        (block.line, f"{apply} <<'END'\n{block.text}END")
        for block in blocks(document, "yaml")
        if block.text.startswith("apiVersion:")
    ]
    return [(f"{document.name}, line {line}", text) for line, text in found if text.strip()]


@pytest.mark.parametrize(
    "document", [page for page in DOCUMENTS if scripts(page)], ids=lambda path: path.stem
)
def test_commands_and_manifests_of_page_work(document: Path, reader: Reader) -> None:
    for where, text in scripts(document):
        reader.run(text, where)


@each_document
def test_page_uses_only_values_that_the_chart_accepts(document: Path, tmp_path: Path) -> None:
    for block in blocks(document, "yaml"):
        if block.text.startswith("# values.yaml"):
            (tmp_path / "values.yaml").write_text(block.text, "utf-8")
            answer = template("--values", str(tmp_path / "values.yaml"))
            assert answer.returncode == 0, f"line {block.line}: {answer.stderr}"
    for value in named_values(document):
        assert "values don't meet the spec" not in template("--set", value).stderr, value


def named_values(document: Path) -> set[str]:
    """Return the inline `value=setting` pairs of the page that name a chart value."""
    roots = "|".join(SCHEMA["properties"])
    return set(re.findall(rf"`((?:{roots})(?:\.\w+)*=\w+)`", document.read_text("utf-8")))


@pytest.mark.parametrize("document", [*DOCUMENTS, CHART / "README.md"], ids=str)
def test_links_of_page_resolve(document: Path) -> None:
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("document", [README, ROOT / "docs" / "consuming.md"], ids=str)
def test_volume_mount_matches_the_example_manifest(document: Path) -> None:
    (mount,) = [
        block
        for block in blocks(document, "yaml")
        if block.text.lstrip().startswith("volumeMounts")
    ]
    # Same lines in the same order; the example may have more in between.
    rest = iter((ROOT / "examples" / "pod.yaml").read_text("utf-8").splitlines())
    assert [line for line in mount.text.splitlines() if line not in rest] == []


@pytest.fixture(scope="module")
def flags() -> set[str]:
    """Return the flags of operator and sidecar."""
    found: set[str] = set()
    for command in ("run", "sidecar"):
        arguments = [sys.executable, "-m", "pinecone_token_operator", command, "--help"]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)
        found |= set(re.findall(r"--[a-z][a-z-]+", done.stdout))
    return found


@each_document
def test_flags_named_on_page_exist(document: Path, flags: set[str]) -> None:
    named = set(re.findall(r"`(--[a-z][a-z-]+)", document.read_text("utf-8")))

    assert named - FLAGS_OF_OTHERS <= flags


@each_document
def test_metrics_named_on_page_exist(document: Path) -> None:
    text = re.sub(r"_(bucket|sum|count)\b", "", document.read_text("utf-8"))
    named = set(re.findall(r"\bpinecone_token_\w+", text))
    shown = set(re.findall(r"^# TYPE (\w+) ", Metrics().render().decode(), re.MULTILINE))

    assert named - {"pinecone_token_operator"} <= shown


def test_python_examples_compile() -> None:
    for document in DOCS:
        for block in blocks(document, "python"):
            compile(block.text, str(document), "exec")


def test_most_commands_are_run() -> None:
    # Releasing is for maintainers, and has a test of its own.
    pages = [document for document in DOCS if document.stem != "releasing"]
    found = [block for document in pages for block in blocks(document, "sh")]
    written = sum(len(block.text.splitlines()) for block in found)
    run = sum(len(script(block).splitlines()) for block in found)

    assert run > 0.9 * written
