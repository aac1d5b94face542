"""Builds a minimal root filesystem: a virtual environment and what its Python needs to run.

    python minimal_root.py VENV ROOT

ROOT becomes the root of the image: no shell, no package manager, no other program. Requires a Linux
whose `ldd` lists the shared libraries of a program, such as Debian.
"""

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# Parts of the standard library that are left out: tests, GUIs, installers, and packages installed
# next to it.
_NOT_NEEDED = (
    *("test", "idlelib", "tkinter", "turtledemo", "_tkinter*", "ensurepip", "pydoc_data"),
    *("config-*", "site-packages", "dist-packages", "__pycache__"),
)
# The Kubernetes client's generated classes, two thirds of the image. Their packages import them
# lazily, and the operator uses none.
_GENERATED = tuple(
    f"kubernetes/{client}/{what}"
    for client in ("client", "aio/client")
    for what in ("api", "models")
)


def main(venv: Path, root: Path) -> None:
    """Create the root filesystem in a directory that must not exist yet."""
    python = Path(sys.executable).resolve()
    stdlib = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(stdlib, _in(root, stdlib), ignore=shutil.ignore_patterns(*_NOT_NEEDED))
    shutil.copytree(
        venv, _in(root, venv), symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    _copy(python, root)
    _link(venv / "bin" / "python", python, root)
    packages = _in(root, next(venv.glob("lib/python*/site-packages")))
    for generated in _GENERATED:
        for module in (packages / generated).glob("*.py"):
            if module.name != "__init__.py":
                module.unlink()
    for library in _libraries([python, *stdlib.rglob("*.so"), *venv.rglob("*.so")]):
        _copy(library, root)
    if (cache := Path("/etc/ld.so.cache")).exists():  # the dynamic loader's index of them
        _copy(cache, root)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    # Bytecode without timestamps: builds are reproducible, and modules are not compiled again at
    # startup if the builder changes file times.
    for folder in (_in(root, stdlib), packages):
        compileall.compile_dir(
            folder,
            quiet=1,
            stripdir=root,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def _libraries(programs: list[Path]) -> set[Path]:
    """Return the shared libraries that the programs load, including the dynamic loader."""
    found: set[Path] = set()
    for program in programs:
        output = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        found |= {Path(path) for path in re.findall(r"(/\S+) \(0x", output)}
    return found


def _copy(path: Path, root: Path) -> None:
    copied = _in(root, path)
    copied.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, copied)


def _link(link: Path, program: Path, root: Path) -> None:
    """Point a link below the root directly at a program instead of through other links."""
    copied = _in(root, link)
    copied.unlink()
    copied.symlink_to(program)


def _in(root: Path, path: Path) -> Path:
    return root / path.relative_to(path.anchor)


if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
