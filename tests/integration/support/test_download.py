"""Programs are downloaded whole and as pinned, or not at all, from a real HTTPS server."""

import hashlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.control_plane.download import DownloadError, Limits, download
from tests.support.control_plane.pins import ENVTEST, Archive
from tests.support.control_plane.progress import Progress
from tests.support.release_server import ReleaseServer, make_archive
from tests.support.repository import ROOT

CONTENT, SHA512 = make_archive(ENVTEST)
ARCHIVE = Archive("1.2.3", "linux-amd64", SHA512)
SHORT = {"hangs": Limits(answer=0.5), "stalls half-way": Limits(silence=0.5)}

# A process that downloads under the lock, as `binaries` does.
PROGRAM = """
import sys
from pathlib import Path
from tests.support.control_plane.cache import locked
from tests.support.control_plane.download import download
from tests.support.control_plane.pins import ENVTEST, Archive
from tests.support.control_plane.progress import Progress

url, sha512, directory = sys.argv[1], sys.argv[2], Path(sys.argv[3])
progress = Progress(sys.stderr)
with locked(directory, lambda: progress.say("waits")):
    if not directory.exists():
        download(Archive("1.2.3", "linux-amd64", sha512), ENVTEST, url, directory, progress)
"""


@pytest.fixture
def server(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ReleaseServer]:
    directory = tmp_path_factory.mktemp("releases")
    with ReleaseServer(directory, ARCHIVE.path, CONTENT) as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.ca_file))
        yield running


def fetch(
    server: ReleaseServer, target: Path, archive: Archive = ARCHIVE, limits: Limits | None = None
) -> str:
    """Download into a directory, and return what was reported."""
    output = io.StringIO()
    limits = limits or SHORT.get(server.mode, Limits())
    download(archive, ENVTEST, server.url, target, Progress(output), limits)
    return output.getvalue()


def fails(server: ReleaseServer, target: Path, archive: Archive = ARCHIVE) -> str:
    """Fail to download, leave nothing behind, and return why."""
    with pytest.raises(DownloadError) as caught:
        fetch(server, target, archive)
    assert list(target.parent.iterdir()) == []
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_archive_becomes_programs(server: ReleaseServer, tmp_path: Path) -> None:
    said = fetch(server, tmp_path / "programs")

    assert "downloading Kubernetes 1.2.3" in said
    assert sorted(each.name for each in tmp_path.rglob("*")) == sorted([*ENVTEST, "programs"])
    for name in ENVTEST:
        done = subprocess.run([tmp_path / "programs" / name], check=True, capture_output=True)
        assert done.stdout.decode() == f"{name}\n"


def test_redirect_is_followed(server: ReleaseServer, tmp_path: Path) -> None:
    with ReleaseServer(server.ca_file.parent, ARCHIVE.path, CONTENT) as other:
        server.mode = f"{other.url}/{ARCHIVE.path}"
        fetch(server, tmp_path / "programs")

    assert (tmp_path / "programs" / "etcd").is_file()


def test_wrong_checksum_is_refused(server: ReleaseServer, tmp_path: Path) -> None:
    archive = replace(ARCHIVE, sha512="0" * 128)

    assert "SHA-512" in fails(server, tmp_path / "programs", archive)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("404", "answered 404"),
        ("truncated", "SHA-512"),
        ("breaks half-way", "broke after 0.0 MB"),
        ("hangs", "127.0.0.1 did not answer within 0.5 s"),
        ("stalls half-way", "127.0.0.1 sent nothing for 0.5 s"),
        ("http://127.0.0.1/archive.tar.gz", "not an https URL"),
        ("https:///archive.tar.gz", "no connection"),
    ],
)
def test_failed_download_leaves_nothing(
    server: ReleaseServer, tmp_path: Path, mode: str, reason: str
) -> None:
    server.mode = mode

    assert reason in fails(server, tmp_path / "programs")


def test_endless_redirects_are_refused(server: ReleaseServer, tmp_path: Path) -> None:
    server.mode = f"{server.url}/{ARCHIVE.path}"

    assert "redirects" in fails(server, tmp_path / "programs")
    assert len(server.requests) == 5


def test_slow_download_is_given_up(server: ReleaseServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="longer than 0 s"):
        fetch(server, tmp_path / "programs", limits=Limits(whole=0))


def test_unknown_authority_is_refused(
    server: ReleaseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    assert "certificate verify failed" in fails(server, tmp_path / "programs")


def test_missing_certificates_file_is_a_reason(
    server: ReleaseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")

    assert "No such file" in fails(server, tmp_path / "programs")


def test_closed_port_is_a_reason(server: ReleaseServer, tmp_path: Path) -> None:
    with ReleaseServer(server.ca_file.parent, ARCHIVE.path, CONTENT) as closed:
        pass

    assert "no connection to 127.0.0.1" in fails(closed, tmp_path / "programs")


def test_archive_without_a_program_is_refused(server: ReleaseServer, tmp_path: Path) -> None:
    content, sha512 = make_archive(["etcd", "kubectl"])
    with ReleaseServer(server.ca_file.parent, ARCHIVE.path, content) as other:
        message = fails(other, tmp_path / "programs", replace(ARCHIVE, sha512=sha512))

    assert message == "the archive lacks kube-apiserver"


def test_invalid_archive_is_refused(server: ReleaseServer, tmp_path: Path) -> None:
    content = b"<html>Sign in</html>"
    sha512 = hashlib.sha512(content).hexdigest()
    with ReleaseServer(server.ca_file.parent, ARCHIVE.path, content) as other:
        message = fails(other, tmp_path / "programs", replace(ARCHIVE, sha512=sha512))

    assert "cannot be unpacked" in message


def start(server: ReleaseServer, target: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, server.url, SHA512, target],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_download_once(server: ReleaseServer, tmp_path: Path) -> None:
    server.mode = "stalls half-way"
    target = tmp_path / "programs"
    with start(server, target) as first:
        assert server.reached.wait(30)
        with start(server, target) as second:
            assert second.stderr is not None
            assert second.stderr.readline() == "waits\n"
            server.released.set()
            assert second.wait(30) == 0
        assert first.wait(30) == 0

    assert len(server.requests) == 1
    assert (target / "etcd").is_file()


def test_killed_download_starts_over(server: ReleaseServer, tmp_path: Path) -> None:
    server.mode = "stalls half-way"
    target = tmp_path / "programs"
    with start(server, target) as killed:
        assert server.reached.wait(30)
        killed.send_signal(signal.SIGKILL)
    assert not target.exists()
    server.mode = "good"
    server.released.set()

    with start(server, target) as again:
        assert again.wait(30) == 0

    assert sorted(each.name for each in tmp_path.iterdir()) == ["programs", "programs.lock"]
