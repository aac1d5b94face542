"""The files of a release. The same commit gives the same bytes, on any machine.

Times in archives are those of the commit, or of SOURCE_DATE_EPOCH:
https://reproducible-builds.org/docs/source-date-epoch/
"""

import gzip
import hashlib
import io
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Final

from tests.e2e.commands import run
from tests.support.chart import CHART
from tests.support.control_plane import binaries
from tests.support.repository import ROOT

RELEASE: Final = "pinecone-token-operator"
NAMESPACE: Final = "pinecone-token-operator"
CHECKSUMS: Final = "SHA256SUMS"

_PROGRAMS: Final = Path(sys.executable).parent
# The oldest that the chart supports: what is rendered for it works with all newer ones.
_KUBERNETES: Final = "1.29.0"


def commit_time(environ: Mapping[str, str]) -> int:
    """Return the time for archives: SOURCE_DATE_EPOCH, else that of the commit; Unix seconds."""
    given = environ.get("SOURCE_DATE_EPOCH")
    return int(given or run("git", "log", "-1", "--format=%ct", cwd=ROOT))


def build_packages(directory: Path, time: int) -> None:
    """Write the wheel and the sdist."""
    with tempfile.TemporaryDirectory() as scratch:
        run(
            *(_PROGRAMS / "uv", "build", "--quiet", "--out-dir", scratch),
            *("--build-constraints", ROOT / "requirements" / "build.txt", "--require-hashes", ROOT),
            environ={"SOURCE_DATE_EPOCH": str(time)},
        )
        for path in Path(scratch).glob("*[!e]"):  # not uv's .gitignore
            shutil.move(path, directory)


def package_chart(directory: Path, time: int) -> None:
    """Write the chart package."""
    with tempfile.TemporaryDirectory() as scratch:
        run(binaries("helm")["helm"], "package", CHART, "--destination", scratch)
        (archive,) = Path(scratch).glob("*.tgz")
        packed = gzip.compress(repack(archive, time), mtime=0)
        (directory / archive.name).write_bytes(packed)


def repack(source: Path, time: int) -> bytes:
    """Return a tar archive with its files in a fixed order, and one time and owner for all.

    Args:
        source: the archive, compressed or not.
        time: of all files; Unix seconds.
    """
    packed = io.BytesIO()
    with (
        tarfile.open(source) as before,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as after,
    ):
        for member in sorted(before, key=attrgetter("name")):
            plain = tarfile.TarInfo(member.name)
            plain.type, plain.size, plain.mtime = member.type, member.size, time
            plain.mode = 0o755 if member.isdir() else 0o644
            after.addfile(plain, before.extractfile(member))
    return packed.getvalue()


def write_crds(directory: Path) -> None:
    """Write all CRDs as one file."""
    texts = [path.read_text("utf-8").strip() for path in sorted((ROOT / "crds").iterdir())]
    (directory / "crds.yaml").write_text(_documents(texts), "utf-8")


def write_manifest(directory: Path, image: str) -> None:
    """Write install.yaml: the chart with its default values, and the namespace, for kubectl.

    Args:
        directory: where to.
        image: the image's name without its tag; empty for the chart's default.
    """
    rendered = run(
        *(binaries("helm")["helm"], "template", RELEASE, CHART, "--namespace", NAMESPACE),
        *("--no-hooks", "--kube-version", _KUBERNETES),
        *(("--set", f"image.repository={image}") if image else ()),
    )
    namespace = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}"
    parts = [namespace, *(part.strip() for part in rendered.split("---\n"))]
    (directory / "install.yaml").write_text(_documents(filter(None, parts)), "utf-8")


def write_sbom(directory: Path, time: int) -> None:
    """Write the bill of materials of the image's Python packages, with this time in it."""
    run(
        *(_PROGRAMS / "cyclonedx-py", "requirements", "--pyproject", "pyproject.toml"),
        *("--mc-type", "application", "--output-reproducible"),
        *("--output-file", directory / "sbom.json", "requirements/run.txt"),
        cwd=ROOT,
        environ={"SOURCE_DATE_EPOCH": str(time)},
    )


def write_checksums(directory: Path) -> None:
    """Write the SHA-256 of every file, as `sha256sum --check` reads it."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(directory.iterdir())
        if path.name != CHECKSUMS
    ]
    (directory / CHECKSUMS).write_text("".join(lines), "utf-8")


def _documents(texts: Iterable[str]) -> str:
    return "---\n" + "\n---\n".join(texts) + "\n"


def build(directory: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Write everything but the image and the checksums into an empty directory.

    Args:
        directory: where to.
        environ: SOURCE_DATE_EPOCH, and IMAGE for install.yaml.

    Raises:
        CommandError: a program failed.
    """
    time = commit_time(environ)
    build_packages(directory, time)
    package_chart(directory, time)
    write_crds(directory)
    write_manifest(directory, environ.get("IMAGE", ""))
    write_sbom(directory, time)
