"""Builds the operator's image from the Dockerfile, as a user would, and inspects it."""

import hashlib
import inspect
import json
import os
import re
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e import base_image
from tests.e2e.buildah import Buildah
from tests.e2e.commands import run
from tests.support.control_plane import binaries, cache_base
from tests.support.repository import ROOT
from tests.support.version import PLACES, found

_MEGABYTE = 1_000_000

# What decides the content of the image.
_SOURCES = (
    *("Dockerfile", "pyproject.toml", "README.md", "LICENSE", "image", "operator", "requirements"),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about an image; sizes are in megabytes.

    Attributes:
        pulled_mb: the compressed layers, which a node pulls.
        unpacked_mb: the size on the node's disk.
        parts_mb: of that, by package or folder, the parts of a megabyte or more.
        packages: the Python distributions in it.
        user: who it runs as.
        labels: of the image.
    """

    pulled_mb: float
    unpacked_mb: float
    parts_mb: dict[str, float]
    packages: list[str]
    user: str
    labels: dict[str, str]


def operator_name() -> str:
    """Return the image name that is the chart's default."""
    (version,) = found()[PLACES[0]]
    return f"docker.io/library/pinecone-token-operator:{version}"


class Image:
    """Builds the image; an archive is reused until one of its sources changes."""

    def __init__(self) -> None:
        self._directory = cache_base() / "e2e"
        self._directory.mkdir(parents=True, exist_ok=True)

    def build(self, name: str) -> Path:
        """Return an archive of the image with this name."""
        archive = self._directory / f"operator-{_content()}.tar"
        if not archive.is_file():
            with tempfile.TemporaryDirectory(dir=self._directory, prefix=".build-") as scratch:
                buildah = Buildah(Path(scratch))
                dockerfile = ROOT / "Dockerfile"
                base_image.make(buildah, base_image.name(dockerfile))
                _build(buildah, name)
                made = Path(scratch) / "oci.tar"
                _export(buildah, name, made)
                for former in self._directory.glob("operator-*.tar"):
                    former.unlink()
                made.replace(archive)
        return archive

    def build_again(self) -> list[str]:
        """Build the image twice more and return which files differ between the two."""
        with tempfile.TemporaryDirectory(dir=self._directory, prefix=".again-") as scratch:
            buildah = Buildah(Path(scratch))
            base_image.make(buildah, base_image.name(ROOT / "Dockerfile"))
            contents = []
            for name in ("localhost/build:first", "localhost/build:second"):
                _build(buildah, name)
                made = Path(scratch) / f"{name.rpartition(':')[2]}.tar"
                _export(buildah, name, made)
                contents.append(_contents(made))
        first, second = contents
        return sorted(
            path for path in first.keys() | second.keys() if first.get(path) != second.get(path)
        )

    def pause(self, name: str) -> Path:
        """Return an archive of the sandbox image, which keeps a pod's namespaces."""
        program = binaries("pause")["pause"]
        archive = self._directory / f"pause-{program.parent.name}.tar"
        if not archive.is_file():
            with tempfile.TemporaryDirectory(dir=self._directory, prefix=".pause-") as scratch:
                buildah = Buildah(Path(scratch))
                container = buildah("from", "scratch").strip()
                buildah("add", "--quiet", container, program, "/pause")
                buildah("config", "--entrypoint", '["/pause"]', container)
                buildah("commit", "--quiet", "--rm", container, name)
                made = Path(scratch) / "oci.tar"
                _export(buildah, name, made)
                made.replace(archive)
        return archive


def facts(archive: Path) -> Facts:
    """Inspect an archive."""
    with tarfile.open(archive) as outer:
        index = _json(outer, "index.json")
        manifest = _json(outer, _blob(index["manifests"][0]["digest"]))
        config = _json(outer, _blob(manifest["config"]["digest"]))
        layers = [_sizes(outer, layer["digest"]) for layer in manifest["layers"]]
    everything = {path: size for layer in layers for path, size in layer.items()}
    parts: dict[str, float] = {}
    for path, size in everything.items():
        part = _part(path)
        parts[part] = parts.get(part, 0.0) + size / _MEGABYTE
    matches = (
        re.search(r"site-packages/([^/]+)-([^-/]+)\.dist-info/METADATA$", path)
        for path in everything
    )
    return Facts(
        pulled_mb=sum(layer["size"] for layer in manifest["layers"]) / _MEGABYTE,
        unpacked_mb=sum(everything.values()) / _MEGABYTE,
        parts_mb={name: size for name, size in sorted(parts.items()) if size >= 1.0},
        packages=sorted(f"{match[1]} {match[2]}" for match in matches if match),
        user=config["config"].get("User", ""),
        labels=config["config"].get("Labels", {}),
    )


def not_locked(seen: Facts) -> list[str]:
    """Return the packages in an image that are not in the lock file with this version."""
    lock = (ROOT / "requirements" / "run.txt").read_text("utf-8")
    named = {
        (_plain(name), version)
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE)
    }
    ours = operator_name().rpartition(":")[2]
    named.add((_plain("pinecone-token-operator"), ours))
    packages = [package.split(" ") for package in seen.packages]
    return [
        f"{name} {version}" for name, version in packages if (_plain(name), version) not in named
    ]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _build(buildah: Buildah, name: str) -> None:
    # One timestamp per commit, so that the same files give the same image.
    time = (
        os.environ.get("SOURCE_DATE_EPOCH")
        or run("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
    )
    revision = run("git", "rev-parse", "HEAD", cwd=ROOT).strip()
    options = ["--timestamp", time, "--label", f"org.opencontainers.image.revision={revision}"]
    options += [
        "--pull-never",
        "--isolation",
        "chroot",
    ]  # needs neither a daemon nor user namespaces
    # This machine's CA certificates and pip configuration, in case there is a proxy in between.
    for path in ("/etc/ssl/certs", "/etc/pip.conf"):
        if Path(path).exists():
            options += ["--volume", f"{path}:{path}:ro"]
    buildah("build", "--quiet", *options, "--tag", name, ROOT)


def _export(buildah: Buildah, name: str, archive: Path) -> None:
    # Archives of this kind contain only the tag; `ctr` gets the rest of the name as an option.
    buildah("push", "--quiet", name, f"oci-archive:{archive}:{name.rpartition(':')[2]}")


def _content() -> str:
    """Return a hash of everything that goes into the image."""
    seen = hashlib.sha256(inspect.getsource(_build).encode())
    seen.update(Path(base_image.__file__).read_bytes())
    for source in _SOURCES:
        paths = [ROOT / source, *sorted((ROOT / source).rglob("*"))]
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts:
                seen.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return seen.hexdigest()[:16]


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _json(archive: tarfile.TarFile, path: str) -> dict[str, Any]:
    file = archive.extractfile(path)
    assert file is not None
    read: dict[str, Any] = json.load(file)
    return read


def _sizes(archive: tarfile.TarFile, digest: str) -> dict[str, int]:
    with tarfile.open(fileobj=archive.extractfile(_blob(digest))) as layer:
        return {member.name: member.size for member in layer if member.isfile()}


def _part(path: str) -> str:
    _, found, rest = path.partition("site-packages/")
    return rest.split("/")[0] if found else "/".join(path.split("/")[:3])


def _contents(archive: Path) -> dict[str, str]:
    """Return a hash of each file, of each layer, and of the configuration."""
    seen = {}
    with tarfile.open(archive) as outer:
        index = _json(outer, "index.json")
        manifest = _json(outer, _blob(index["manifests"][0]["digest"]))
        seen["(configuration)"] = manifest["config"]["digest"]
        for layer in manifest["layers"]:
            seen[f"(layer {layer['digest']})"] = ""
            with tarfile.open(fileobj=outer.extractfile(_blob(layer["digest"]))) as inner:
                for member in inner:
                    file = inner.extractfile(member) if member.isfile() else None
                    content = hashlib.sha256(file.read() if file else b"").hexdigest()
                    seen[member.name] = f"{member.mode} {member.mtime} {member.linkname} {content}"
    return seen
