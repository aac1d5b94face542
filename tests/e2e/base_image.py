"""A base image as the Dockerfile wants it, made here of Debian's packages.

It stands in for the one that is pulled from a registry: Debian with CPython and pip, and the name
`python`. It is made once for each content of this file, and kept in the user's cache folder.
"""

import hashlib
import re
import shutil
import tempfile
from pathlib import Path

from tests.e2e.buildah import Buildah
from tests.e2e.commands import run
from tests.support.control_plane import cache_base

DEBIAN = "trixie"  # whose Python is the 3.13 that the Dockerfile names
_PACKAGES = ("ca-certificates", "python3", "python3-venv")  # the last one has pip's wheel

# What images leave out: other languages, manuals, what was downloaded.
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
    """Return the name that the Dockerfile gives to its base image."""
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile.read_text("utf-8"), re.MULTILINE)
    assert found, "the Dockerfile names no base image"
    return f"docker.io/library/{found[1]}"


def make(buildah: Buildah, wanted: str) -> None:
    """Put the base image under its name into the image store."""
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
            # In a mount namespace of its own, so that an interruption leaves no mount behind.
            include = f"--include={','.join(_PACKAGES)}"
            debootstrap = ("debootstrap", "--variant=minbase", include, DEBIAN, str(tree))
            run("unshare", "--mount", *debootstrap, timeout=1800)
            _finish(tree)
            run("tar", "--numeric-owner", "-cf", Path(scratch) / "tar", "-C", tree, ".")
            (Path(scratch) / "tar").replace(packed)
    return packed


def _finish(tree: Path) -> None:
    # Debian keeps pip away from its own Python; in an image, there is no other.
    for marker in tree.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    run("chroot", tree, "/bin/sh", "-euc", _PIP)
    for pruned in _PRUNED:
        shutil.rmtree(tree / pruned)
        (tree / pruned).mkdir()
