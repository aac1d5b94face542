"""Builds a substitute for the Dockerfile's base image from Debian packages.

It replaces the image that would be pulled from a registry: Debian with CPython and pip, available
as `python`. It is built again when this file changes, and cached in the user's cache folder.
"""

import hashlib
import re
import shutil
import tempfile
from pathlib import Path

from tests.e2e.buildah import Buildah
from tests.e2e.commands import run
from tests.support.control_plane import cache_base

DEBIAN = "trixie"  # its Python is 3.13, as in the Dockerfile
_PACKAGES = ("ca-certificates", "python3", "python3-venv")  # the last one contains pip's wheel

# What images leave out: translations, manuals, downloads.
_PRUNED = (
    *("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man", "var/cache/apt"),
    *("var/lib/apt/lists", "var/log", "usr/share/python-wheels"),
)

_PIP = """
for wheel in /usr/share/python-wheels/pip-*.whl; do
  python3 "$wheel/pip" install -q --root-user-action ignore --no-index \\
    --find-links /usr/share/python-wheels pip
done
ln -s /usr/bin/python3 /usr/local/bin/python
"""


def name(dockerfile: Path) -> str:
    """Return the name of the Dockerfile's base image."""
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile.read_text("utf-8"), re.MULTILINE)
    assert found, "the Dockerfile names no base image"
    return f"docker.io/library/{found[1]}"


def make(buildah: Buildah, wanted: str) -> None:
    """Build the base image and store it under a name."""
    packed = _packed()
    container = buildah("from", "scratch").strip()
    try:
        buildah("add", "--quiet", container, str(packed), "/")
        buildah("commit", "--quiet", container, wanted)
    finally:
        buildah("rm", container)


def _packed() -> Path:
    content = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    packed = cache_base() / "e2e" / f"debian-{DEBIAN}-{content}.tar"
    if not packed.is_file():
        packed.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=packed.parent, prefix=".debian-") as scratch:
            tree = Path(scratch) / "tree"
            # In its own mount namespace, so that an interruption leaves no mount behind.
            include = f"--include={','.join(_PACKAGES)}"
            debootstrap = ("debootstrap", "--variant=minbase", include, DEBIAN, str(tree))
            run("unshare", "--mount", *debootstrap, timeout=1800)
            _finish(tree)
            run("tar", "--numeric-owner", "-cf", Path(scratch) / "tar", "-C", tree, ".")
            (Path(scratch) / "tar").replace(packed)
    return packed


def _finish(tree: Path) -> None:
    # Debian forbids pip to change its own Python, but in an image there is no other.
    for marker in tree.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    run("chroot", tree, "/bin/sh", "-euc", _PIP)
    for pruned in _PRUNED:
        shutil.rmtree(tree / pruned)
        (tree / pruned).mkdir()
