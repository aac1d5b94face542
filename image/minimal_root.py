"""Puts a virtual environment and what its Python needs to run, and nothing else, into a folder.

    python minimal_root.py VENV ROOT

The folder is the root of the image: no shell, no package manager, no other program. It runs on any
Linux whose `ldd` tells which libraries a program loads, as Debian's does.
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

# Of the standard library: tests, other windows than a terminal's, what installs packages, and
# packages installed beside it.
_NOT_NEEDED = (
    *("test", "idlelib", "tkinter", "turtledemo", "_tkinter*", "ensurepip", "pydoc_data"),
    *("config-*", "site-packages", "dist-packages", "__pycache__"),
)
# A class for each kind of object and each group of requests, two thirds of all there is. Their
# packages load each once it is asked for, and the operator asks for none.
_GENERATED = tuple(
    f"kubernetes/{client}/{what}"
    for client in ("client", "aio/client")
    for what in ("api", "models")
)


def main(venv: Path, root: Path) -> None:
    """Fill the folder, which must not exist."""
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
    if (cache := Path("/etc/ld.so.cache")).exists():  # where the loader finds them
        _copy(cache, root)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    # Bytecode that names no time, so that a build that changes times of files neither differs from
    # the last one nor has its modules compiled at each start.
    for folder in (_in(root, stdlib), packages):
        compileall.compile_dir(
            folder,
            quiet=1,
            stripdir=root,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def _libraries(programs: list[Path]) -> set[Path]:
    """Return all shared libraries that programs load, the loader among them."""
    found: set[Path] = set()
    for program in programs:
        told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        found |= {Path(path) for path in re.findall(r"(/\S+) \(0x", told)}
    return found


def _copy(path: Path, root: Path) -> None:
    copied = _in(root, path)
    copied.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, copied)


def _link(link: Path, program: Path, root: Path) -> None:
    """Have a link in the folder name a program directly, not by way of others."""
    copied = _in(root, link)
    copied.unlink()
    copied.symlink_to(program)


def _in(root: Path, path: Path) -> Path:
    return root / path.relative_to(path.anchor)


if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
