"""`make dist` builds the image as an OCI archive, and the same image gives the same bytes.

That two builds give the same image is shown by `make e2e`. The base image is the substitute of the
tests on a real node, if they have built it before.
"""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import base_image
from tests.e2e.buildah import Buildah
from tests.e2e.commands import run
from tests.release import artifacts, image
from tests.support.control_plane import cache_base
from tests.support.repository import ROOT
from tests.support.version import PLACES, found

(VERSION,) = found()[PLACES[0]]
TIME = 1764201600
HAS_BASE = any((cache_base() / "e2e").glob(f"debian-{base_image.DEBIAN}-*.tar"))

pytestmark = [
    pytest.mark.skipif(
        shutil.which("buildah") is None,
        reason="buildah is missing; on Debian: apt-get install buildah",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can build the base image"),
    pytest.mark.skipif(not HAS_BASE, reason="make e2e has not built the base image yet"),
]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have buildah use a store of its own, with the base image in it."""
    store = tmp_path / "store"
    store.mkdir()
    paths = {"graphroot": store / "root", "runroot": store / "run"}
    lines = ["[storage]", 'driver = "vfs"', *(f'{key} = "{at}"' for key, at in paths.items())]
    (store / "storage.conf").write_text("\n".join(lines), "utf-8")
    # This machine's CA certificates and pip configuration, in case there is a proxy in between.
    shared = [path for path in ("/etc/ssl/certs", "/etc/pip.conf") if Path(path).exists()]
    volumes = json.dumps([f"{path}:{path}:ro" for path in shared])
    (store / "containers.conf").write_text(f"[containers]\nvolumes = {volumes}\n", "utf-8")
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(store / "storage.conf"))
    monkeypatch.setenv("CONTAINERS_CONF", str(store / "containers.conf"))
    monkeypatch.setenv("BUILDAH_ISOLATION", "chroot")
    yield store
    shutil.rmtree(store)


class OwnStore(Buildah):
    """buildah with the store that the environment names."""

    def __init__(self) -> None:
        super().__init__(Path())

    def __call__(self, *arguments: str | Path, timeout: float = 1800.0) -> str:
        return run("buildah", *arguments, timeout=timeout)


@pytest.mark.usefixtures("store")
def test_image_archive_is_reproducible_and_can_be_loaded(tmp_path: Path) -> None:
    directory = tmp_path / "dist"
    directory.mkdir()
    base_image.make(OwnStore(), base_image.name(ROOT / "Dockerfile"))

    assert image.build(directory, TIME, VERSION) is None
    artifacts.write_checksums(directory)

    archive = directory / image.ARCHIVE
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    listed = (directory / artifacts.CHECKSUMS).read_text("utf-8")
    assert listed == f"{checksum}  {image.ARCHIVE}\n"
    config = configuration(archive)
    assert config["config"]["Entrypoint"] == ["/opt/venv/bin/pinecone-token-operator"]
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Labels"]["org.opencontainers.image.version"] == VERSION
    assert image.export("buildah", TIME, VERSION) == archive.read_bytes()
    # It is an image that tools can load again.
    run("buildah", "pull", "--quiet", f"oci-archive:{archive}")


def configuration(archive: Path) -> dict[str, Any]:
    """Return the configuration of the archive's only image."""

    def read(name: str) -> dict[str, Any]:
        file = opened.extractfile(name)
        assert file is not None
        content: dict[str, Any] = json.load(file)
        return content

    def blob(digest: str) -> dict[str, Any]:
        return read(f"blobs/{digest.replace(':', '/')}")

    with tarfile.open(archive) as opened:
        (manifest,) = read("index.json")["manifests"]
        return blob(blob(manifest["digest"])["config"]["digest"])
