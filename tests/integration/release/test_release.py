"""What `make dist` writes is reproducible, complete, and installs on a real API server."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.release import artifacts, image
from tests.support.api import Kube
from tests.support.chart import CHART, helm, service_account_token
from tests.support.cluster import Cluster
from tests.support.kubeconfig import write_kubeconfig
from tests.support.operator_process import Operator
from tests.support.repository import ROOT
from tests.support.token_endpoint import TokenEndpoint
from tests.support.version import PLACES, found

pytestmark = pytest.mark.programs("helm", *Cluster.PROGRAMS)

(VERSION,) = found()[PLACES[0]]
ENVIRON = {"SOURCE_DATE_EPOCH": "1764201600"}
OPERATOR = "pinecone-token-operator"


def build(directory: Path, environ: dict[str, str]) -> Path:
    directory.mkdir()
    artifacts.build(directory, environ)
    artifacts.write_checksums(directory)
    return directory


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("release") / "dist", ENVIRON)


def test_release_has_every_part(release: Path) -> None:
    assert {path.name for path in release.iterdir()} == {
        f"pinecone_token_operator-{VERSION}-py3-none-any.whl",
        f"pinecone_token_operator-{VERSION}.tar.gz",
        f"pinecone-token-operator-{VERSION}.tgz",
        "SHA256SUMS",
        "crds.yaml",
        "install.yaml",
        "sbom.json",
    }


def test_release_is_the_same_when_built_again_without_buildah(
    release: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    git = shutil.which("git")
    assert git
    (programs / "git").symlink_to(git)
    again = tmp_path / "dist"
    done = subprocess.run(
        [sys.executable, "-m", "tests.release", str(again)],
        cwd=ROOT,
        env={**os.environ, **ENVIRON, "PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "No image archive: buildah is not installed; " in done.stdout.splitlines()[-1]
    assert "SHA256SUMS" in done.stdout
    assert {path.name: digest(path) for path in again.iterdir()} == {
        path.name: digest(path) for path in release.iterdir()
    }


def test_checksums_are_those_of_the_files(release: Path) -> None:
    lines = (release / "SHA256SUMS").read_text("utf-8").splitlines()

    listed = {name: checksum for checksum, name in (line.split("  ") for line in lines)}
    assert listed == {
        path.name: digest(path) for path in release.iterdir() if path.name != "SHA256SUMS"
    }


def test_commit_time_is_the_default_for_archives() -> None:
    time = artifacts.commit_time({})

    done = subprocess.run(
        ["git", "show", "--no-patch", "--format=%ct"], cwd=ROOT, capture_output=True, check=True
    )
    assert time == int(done.stdout)


def test_packaged_chart_renders_like_the_source(release: Path) -> None:
    package = release / f"pinecone-token-operator-{VERSION}.tgz"
    version = ("--kube-version", "1.37.2")

    packed, source = (helm("template", "release", str(one), *version) for one in (package, CHART))

    assert packed.returncode == 0, packed.stderr
    assert packed.stdout == source.stdout
    with tarfile.open(package) as archive:
        assert {(one.uid, one.gid, one.mtime) for one in archive} == {(0, 0, 1764201600)}


def test_crds_are_those_of_the_source(release: Path) -> None:
    written = [one for one in yaml.safe_load_all((release / "crds.yaml").read_text("utf-8")) if one]

    sources = sorted((ROOT / "crds").iterdir())
    assert written == [yaml.safe_load(path.read_text("utf-8")) for path in sources]


def test_manifest_names_the_given_image(tmp_path: Path) -> None:
    artifacts.write_manifest(tmp_path, "registry.example/operator")

    text = (tmp_path / "install.yaml").read_text("utf-8")
    assert f'image: "registry.example/operator:{VERSION}"' in text


@pytest.fixture
def empty_cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", audit=False) as running:
        yield running


def test_manifest_installs_an_operator_that_works(
    release: Path, empty_cluster: Cluster, tmp_path: Path, endpoint: TokenEndpoint
) -> None:
    cluster = empty_cluster
    manifest = str(release / "install.yaml")
    cluster.kubectl("apply", "--validate=strict", "-f", manifest)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all")
    cluster.kubectl("apply", "-f", manifest)  # again, as for an upgrade

    user = {"token": service_account_token(cluster, OPERATOR, OPERATOR)}
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", cluster.url, cluster.ca_file, user)
    options = ["--leader-elect", f"--leader-election-namespace={OPERATOR}"]
    options += [f"--leader-election-lease-name={OPERATOR}"]
    with (
        Kube(cluster) as kube,
        Operator(
            kubeconfig, endpoint.url, endpoint.ca_bundle, tmp_path / "operator", options=options
        ) as operator,
    ):
        operator.wait_ready()
        kube.create_credentials("default")
        kube.create_token("default")
        kube.until("default", "Ready", "TokenValid")
        assert operator.stop() == 0


def test_image_is_skipped_without_buildah(tmp_path: Path) -> None:
    skipped = image.build(tmp_path, 0, VERSION, path=str(tmp_path))

    assert skipped
    assert skipped.startswith("buildah is not installed; Linux distributions have a package")
    assert list(tmp_path.iterdir()) == []


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
