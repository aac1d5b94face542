"""Programs are found, downloaded or built, and progress is reported."""

import io
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.control_plane import BuildError, found, pins
from tests.support.control_plane.build import build
from tests.support.control_plane.cache import built_directory, downloaded_directory
from tests.support.control_plane.pins import ENVTEST, PROGRAMS, Program
from tests.support.control_plane.progress import Progress
from tests.support.release_server import ReleaseServer
from tests.support.repository import ROOT

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
needs_archive = pytest.mark.skipif(pins.archive() is None, reason="no archive for this machine")
GO_CACHE = os.environ.get("GOCACHE") or str(Path.home() / ".cache" / "go-build")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder, which nothing in the environment overrides."""
    for name in ("KUBEBUILDER_ASSETS", "ENVTEST_DOWNLOAD", "ENVTEST_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).touch(mode=0o755)
    return directory


def downloaded() -> Path:
    archive = pins.archive()
    assert archive is not None
    return put(downloaded_directory(archive.version, archive.platform), *ENVTEST)


def built(*names: str) -> Path:
    return put(built_directory(PROGRAMS["etcd"].module), *names)


# Which programs are used


@pytest.mark.usefixtures("cache")
def test_nothing_is_found_in_an_empty_cache() -> None:
    assert found(PROGRAMS) == {}


@needs_archive
@pytest.mark.usefixtures("cache")
def test_downloaded_programs_are_used() -> None:
    directory = downloaded()

    assert found([*ENVTEST, "helm"]) == {name: directory / name for name in ENVTEST}


@needs_archive
@pytest.mark.usefixtures("cache")
def test_programs_of_one_source_are_used() -> None:
    directory = downloaded()
    built("etcd")
    assert found(["etcd"]) == {"etcd": directory / "etcd"}

    directory = built(*ENVTEST)
    assert found(["etcd"]) == {"etcd": directory / "etcd"}


@needs_archive
@pytest.mark.usefixtures("cache")
def test_downloaded_programs_are_not_used_with_a_kubelet() -> None:
    downloaded()

    assert found(["kube-apiserver", "kubelet"]) == {}


@needs_archive
@pytest.mark.usefixtures("cache")
def test_downloaded_programs_are_not_used_if_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    downloaded()
    monkeypatch.setenv("ENVTEST_DOWNLOAD", "0")

    assert found(ENVTEST) == {}


@pytest.mark.usefixtures("cache")
def test_ready_made_programs_are_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = built(*ENVTEST)
    assets = put(tmp_path / "assets", "etcd")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))

    paths = found(["etcd", "kubectl"])

    assert paths == {"etcd": assets / "etcd", "kubectl": directory / "kubectl"}


# What the command does


def provide(name: str, **environ: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.control_plane", "build", name],
        cwd=ROOT,
        env={**os.environ, "GOCACHE": GO_CACHE, **environ},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[ReleaseServer]:
    archive = pins.archive()
    assert archive is not None
    with ReleaseServer(tmp_path / "releases", archive.path, b"not the pinned archive") as running:
        yield running


@needs_archive
@pytest.mark.usefixtures("cache")
def test_both_choices_are_named_without_download_and_go(releases: ReleaseServer) -> None:
    code, said = provide(
        "kubectl",
        ENVTEST_BASE_URL=releases.url,
        SSL_CERT_FILE=str(releases.ca_file),
        PATH="/nonexistent",
    )

    assert code == 1
    first, *_, second, last = said.splitlines()
    assert first.startswith("downloading Kubernetes")
    assert second.startswith("Cannot download Kubernetes 1.36.2: the SHA-512 of https://127.0.0.1")
    assert last == (
        "There is no Go on the PATH to build kubectl: install Go 1.26.0 or newer, or make the "
        "download work (ENVTEST_BASE_URL can name a mirror)."
    )


@needs_go
@needs_archive
def test_build_follows_a_failed_download(releases: ReleaseServer, cache: Path) -> None:
    releases.mode = "404"

    code, said = provide("etcd", ENVTEST_BASE_URL=releases.url, SSL_CERT_FILE=str(releases.ca_file))

    assert code == 0, said
    assert "Cannot download Kubernetes 1.36.2: https://127.0.0.1" in said
    assert "1/1 building etcd 0:00 of about " in said
    assert [path.name for path in cache.rglob("etcd")] == ["etcd"]


@needs_archive
@pytest.mark.usefixtures("cache")
def test_no_download_is_tried_if_turned_off(releases: ReleaseServer) -> None:
    code, said = provide(
        "etcd", ENVTEST_BASE_URL=releases.url, ENVTEST_DOWNLOAD="0", PATH="/nonexistent"
    )

    assert code == 1
    assert said == "There is no Go on the PATH to build etcd: install Go 1.26.0 or newer.\n"
    assert releases.requests == []


# Building


@pytest.fixture
def module(tmp_path: Path) -> Path:
    directory = tmp_path / "module"
    for name in ("first", "second/v2"):
        (directory / name).mkdir(parents=True)
        text = f'package main\n\nfunc main() {{ println("{name}") }}\n'
        (directory / name / "main.go").write_text(text, "utf-8")
    (directory / "go.mod").write_text("module example.com/module\n\ngo 1.21\n", "utf-8")
    return directory


def programs(module: Path) -> list[Program]:
    return [
        Program("one", "./first", module, 1),
        Program("two", "example.com/module/second/v2", module, 1),
    ]


@needs_go
def test_programs_of_a_module_are_built_at_once(module: Path, tmp_path: Path) -> None:
    output = io.StringIO()

    build(programs(module), tmp_path / "built", Progress(output), 3, 5)

    for name, prints in {"one": "first", "two": "second/v2"}.items():
        done = subprocess.run([tmp_path / "built" / name], check=True, capture_output=True)
        assert done.stderr.decode() == f"{prints}\n"
    said = output.getvalue().splitlines()
    assert said[0].startswith("4/5 building one and two 0:00 of about 0:0")
    assert said[-1].startswith("built one and two in 0:")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["built", "module"]


@needs_go
def test_failed_build_leaves_nothing_and_says_why(module: Path, tmp_path: Path) -> None:
    (module / "first" / "main.go").write_text("package main\n\nfunc main() { typo() }\n", "utf-8")

    with pytest.raises(BuildError, match=r"(?s)Building one and two failed:.*undefined: typo"):
        build(programs(module), tmp_path / "built", Progress(io.StringIO()), 0, 2)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["module"]


# Progress


def test_progress_is_plain_lines_off_a_terminal() -> None:
    output = io.StringIO()
    progress = Progress(output, plain_seconds=0.1)

    with progress.step(lambda seconds: f"{seconds:.3f}"):
        deadline = time.monotonic() + 20
        while output.getvalue().count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    progress.say("done")

    *steps, last = output.getvalue().splitlines()
    assert len(steps) >= 3
    assert steps == sorted(steps, key=float)
    assert last == "done"
    assert "\r" not in output.getvalue()


def test_progress_is_one_live_line_on_a_terminal() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb", buffering=0) as terminal, os.fdopen(follower, "w") as stream:
        progress = Progress(stream)
        with progress.step(lambda _: "step"):
            seen = terminal.read(1000)
            while seen.count(b"step") < 2:
                seen += terminal.read(1000)
        progress.say("done")
        while b"done" not in seen:
            seen += terminal.read(1000)

    # Each replaces the one before; only what is said once ends in a new line.
    assert seen.startswith(b"\r\x1b[Kstep\r\x1b[Kstep")
    assert seen.endswith(b"\r\x1b[K\r\x1b[Kdone\r\n")
    assert seen.count(b"\n") == 1
