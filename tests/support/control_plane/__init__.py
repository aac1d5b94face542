"""The programs that tests run: a Kubernetes control plane, its tools, and small ones of our own.

    python -m tests.support.control_plane build

etcd, kube-apiserver and kubectl are downloaded from envtest's releases where that is possible, and
else built, as all other programs are, from Go modules that `tests/tools` pins. Either is done once,
into the user's cache folder. `pins` says what there is.

These environment variables have a say:

    KUBEBUILDER_ASSETS  a folder of ready-made programs; only what it lacks is had otherwise
    ENVTEST_BASE_URL    an https mirror of the releases, instead of GitHub
    ENVTEST_DOWNLOAD=0  build everything, download nothing
    HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE  as everywhere
"""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.support.control_plane import pins
from tests.support.control_plane.build import BuildError, build, go_version
from tests.support.control_plane.cache import (
    built_directory,
    cache_base,
    downloaded_directory,
    locked,
)
from tests.support.control_plane.download import RELEASES, DownloadError, download
from tests.support.control_plane.pins import ENVTEST, NEEDS_EQUAL_VERSION, PROGRAMS, Program
from tests.support.control_plane.progress import Progress

__all__ = ["BuildError", "binaries", "cache_base", "found"]


def binaries(*names: str, progress: Progress | None = None) -> dict[str, Path]:
    """Return the path of each named program; download or build those that are not there yet.

    What is asked for at once has versions that work together.

    Args:
        names: the programs.
        progress: told what is downloaded and built; writes to stderr by default.

    Raises:
        BuildError: a program could neither be downloaded nor built.
    """
    paths = found(names)
    if missing := [program for name, program in PROGRAMS.items() if name in {*names} - {*paths}]:
        _provide(names, missing, progress or Progress(sys.stderr))
        paths = found(names)
    return {name: paths[name] for name in names}


def found(names: Iterable[str]) -> dict[str, Path]:
    """Return the path of each named program that is there already."""
    wanted = list(names)
    built = {name: built_directory(PROGRAMS[name].module) / name for name in {*wanted, *ENVTEST}}
    paths = {name: built[name] for name in wanted}
    release = _release(wanted)
    complete = all(built[name].is_file() for name in ENVTEST)
    if release is not None and release.is_dir() and not complete:
        paths |= {name: release / name for name in ENVTEST if name in paths}
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        ready_made = {name: Path(assets).resolve() / name for name in wanted}
        paths |= {name: path for name, path in ready_made.items() if path.is_file()}
    return {name: path for name, path in paths.items() if path.is_file()}


def _release(names: Iterable[str]) -> Path | None:
    """Return the folder of downloaded programs, whether or not it exists, if it may be used."""
    archive = pins.archive()
    if archive is None or os.environ.get("ENVTEST_DOWNLOAD") == "0":
        return None
    if NEEDS_EQUAL_VERSION.intersection(names):
        return None
    return downloaded_directory(archive.version, archive.platform)


def _provide(names: Sequence[str], missing: Sequence[Program], progress: Progress) -> None:
    by_module: dict[Path, list[Program]] = {}
    for program in missing:
        by_module.setdefault(program.module, []).append(program)
    done, total = 0, len(missing)
    for module, programs in by_module.items():
        directory = built_directory(module)
        with locked(directory, lambda: progress.say("waiting for another build")):
            refusal = None
            if any(program.name in ENVTEST for program in programs):
                refusal = _download(names, progress)
            # Downloaded by now, or built by another process meanwhile.
            there = found(names)
            left = [program for program in programs if program.name not in there]
            done += len(programs) - len(left)
            if left:
                _check_go(left, refusal)
                build(left, directory, progress, done, total)
            done += len(left)


def _download(names: Sequence[str], progress: Progress) -> str | None:
    """Download what an archive holds unless it is there; return why that failed, if it did."""
    release, archive = _release(names), pins.archive()
    if release is None or archive is None or len(found(ENVTEST)) == len(ENVTEST):
        return None
    base_url = os.environ.get("ENVTEST_BASE_URL") or RELEASES
    with locked(release, lambda: progress.say("waiting for another download")):
        if release.exists():
            return None
        try:
            download(archive, ENVTEST, base_url, release, progress)
        except DownloadError as error:
            progress.say(f"Cannot download Kubernetes {archive.version}: {error}")
            return str(error)
    return None


def _check_go(programs: Sequence[Program], refusal: str | None) -> None:
    if shutil.which("go") is not None:
        return
    names = ", ".join(program.name for program in programs)
    needed = max(go_version(program.module) for program in programs)
    choices = f"install Go {needed} or newer"
    if refusal is not None:
        choices += ", or make the download work (ENVTEST_BASE_URL can name a mirror)"
    raise BuildError(f"There is no Go on the PATH to build {names}: {choices}.")
