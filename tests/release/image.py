"""The image as an OCI archive, where buildah can build it."""

import re
import shutil
import tempfile
from pathlib import Path

from tests.e2e.commands import CommandError, run
from tests.release.artifacts import repack
from tests.support.repository import ROOT

ARCHIVE = "image.oci.tar"
_NAME = "localhost/pinecone-token-operator"


def build(directory: Path, time: int, version: str, path: str | None = None) -> str | None:
    """Write the archive, or return why it is skipped.

    Args:
        directory: where to.
        time: of all files in the image; Unix seconds.
        version: the image's tag.
        path: where to look for buildah; by default PATH.

    Raises:
        CommandError: the build failed.
    """
    buildah = shutil.which("buildah", path=path)
    if buildah is None:
        return "buildah is not installed; Linux distributions have a package of that name"
    base = _base((ROOT / "Dockerfile").read_text("utf-8"))
    try:
        run(buildah, "pull", "--quiet", "--policy", "missing", base)
    except CommandError:
        return f"buildah cannot pull the base image {base}; pull it under this name from a mirror"
    name = f"{_NAME}:{version}"
    run(buildah, "build", "--quiet", "--timestamp", str(time), "--tag", name, ROOT, timeout=3600)
    (directory / ARCHIVE).write_bytes(export(buildah, time, version))
    return None


def export(buildah: str, time: int, version: str) -> bytes:
    """Return the archive of the image that was built; the same image gives the same bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / ARCHIVE
        run(buildah, "push", "--quiet", f"{_NAME}:{version}", f"oci-archive:{archive}:{version}")
        # buildah writes the current time into it.
        return repack(archive, time)


def _base(dockerfile: str) -> str:
    (found,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    return str(found)
