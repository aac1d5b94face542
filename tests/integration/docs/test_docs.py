"""The documents can be followed: each command works, each manifest and each link is good.

A document is gone through from top to bottom, on a new cluster where the operator works as it does
in a pod. What needs a node is left out here; tests/support/documents.py says what and why.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.telemetry.metrics import Metrics
from tests.support.chart import CHART, SCHEMA, template
from tests.support.cluster import Cluster
from tests.support.control_plane import binaries
from tests.support.documents import DOCS, README, anchors, blocks, links, script
from tests.support.operator_process import Operator
from tests.support.repository import ROOT
from tests.support.token_endpoint import TokenEndpoint

DOCUMENTS = [README, *DOCS]
# What a reader of these has done before.
INSTALLED = {"consuming", "security", "troubleshooting", "uninstalling", "upgrading"}
USED = {"security", "troubleshooting", "uninstalling", "upgrading"}
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
    """Types what a document says, in a checkout, with kubectl and helm at hand."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._directory = directory
        programs = directory / "bin"
        programs.mkdir(parents=True)
        for name, path in binaries("kubectl", "helm").items():
            (programs / name).symlink_to(path)
        for name in ("Makefile", "charts", "crds", "examples"):
            (directory / name).symlink_to(ROOT / name)
        # As make sets it up; here, whatever runs the tests.
        (directory / ".venv").symlink_to(Path(sys.executable).parents[1])
        self._environ = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(directory),
            "KUBECONFIG": str(cluster.kubeconfig),
        }

    def type(self, text: str, where: str) -> str:
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
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    name = request.getfixturevalue("document").stem
    # It aggregates users' roles, which one document lets its reader see; the others start sooner.
    manages = name == "installation"
    with Cluster(tmp_path / "cluster", controller_manager=manages, audit=False) as cluster:
        found = Reader(cluster, tmp_path / "checkout")
        if name in INSTALLED:
            found.type(INSTALL, "installing")
        with TokenEndpoint(directory=tmp_path / "certificates") as endpoint:
            shutil.copy(endpoint.ca_bundle, tmp_path / "checkout" / "proxy-ca.pem")
            with Operator(
                cluster.kubeconfig, endpoint.url, endpoint.ca_bundle, tmp_path / "operator"
            ) as operator:
                operator.wait_ready()
                if name in USED:
                    found.type(USE, "using")
                yield found


each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)


@each_document
def test_the_document_can_be_followed(document: Path, reader: Reader) -> None:
    found = blocks(document, "sh")
    assert found

    for block in found:
        reader.type(script(block), f"{document.name}, line {block.line}")

    for block in blocks(document, "yaml"):
        where = f"{document.name}, line {block.line}"
        if block.text.startswith("apiVersion:"):
            apply = "kubectl apply --dry-run=server --validate=strict -f -"
            reader.type(f"{apply} <<'END'\n{block.text}END", where)


@each_document
def test_values_in_it_are_values_of_the_chart(document: Path, tmp_path: Path) -> None:
    for block in blocks(document, "yaml"):
        if block.text.startswith("# values.yaml"):
            (tmp_path / "values.yaml").write_text(block.text, "utf-8")
            answer = template("--values", str(tmp_path / "values.yaml"))
            assert answer.returncode == 0, f"line {block.line}: {answer.stderr}"
    for value in named_values(document):
        assert "values don't meet the spec" not in template("--set", value).stderr, value


def named_values(document: Path) -> set[str]:
    """Return the settings in the document's text that look like values with a value."""
    roots = "|".join(SCHEMA["properties"])
    return set(re.findall(rf"`((?:{roots})(?:\.\w+)*=\w+)`", document.read_text("utf-8")))


@pytest.mark.parametrize("document", [*DOCUMENTS, CHART / "README.md"], ids=str)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("document", [README, ROOT / "docs" / "consuming.md"], ids=str)
def test_the_mount_is_that_of_the_example(document: Path) -> None:
    (mount,) = [
        block
        for block in blocks(document, "yaml")
        if block.text.lstrip().startswith("volumeMounts")
    ]
    # In the same order; comments and other settings may stand between.
    rest = iter((ROOT / "examples" / "pod.yaml").read_text("utf-8").splitlines())
    assert [line for line in mount.text.splitlines() if line not in rest] == []


def test_every_reason_has_a_section_in_the_order_of_the_code() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    section = text.split("## By reason")[1].split("\n## ")[0]

    assert re.findall(r"^### (\w+)$", section, re.MULTILINE) == [str(reason) for reason in Reason]


def test_every_alert_has_its_answer() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")

    found = re.findall(r"^\| `(Pinecone\w+)` \|", text, re.MULTILINE)
    assert found == SCHEMA["definitions"]["alert"]["enum"]


@each_document
def test_every_metric_it_names_exists(document: Path) -> None:
    named = set(re.findall(r"\bpinecone_token_\w+", document.read_text("utf-8")))
    shown = set(re.findall(r"^# TYPE (\w+) ", Metrics().render().decode(), re.MULTILINE))

    assert named - {"pinecone_token_operator"} <= shown


def test_the_code_in_them_is_python() -> None:
    for document in DOCS:
        for block in blocks(document, "python"):
            compile(block.text, str(document), "exec")


def test_little_is_left_out_for_want_of_nodes() -> None:
    found = [block for document in DOCS for block in blocks(document, "sh")]
    written = sum(len(block.text.splitlines()) for block in found)
    run = sum(len(script(block).splitlines()) for block in found)

    assert run > 0.9 * written
