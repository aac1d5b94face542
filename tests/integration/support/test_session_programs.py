"""A test run builds programs while tests that need none run, in a run of pytest of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT

# `pause` is built in a second, from the standard library alone.
FILES = {
    "test_first_by_name.py": """
import pytest
from tests.support.control_plane import found

@pytest.mark.programs("pause")
def test_with_program() -> None:
    assert found(["pause"])
""",
    "test_second_by_name.py": """
from pathlib import Path

def test_without_program() -> None:
    Path("ran").touch()
""",
}
# Builds once the test without programs has run: if that waited for the build, neither would end.
WAITING_GO = """#!/bin/sh
if [ "$1" = build ]; then
  while [ ! -e "{marker}" ]; do sleep 0.05; done
fi
exec "{go}" "$@"
"""

PLUGINS = ("-p", "xdist.plugin", "-p", "tests.conftest")

needs_go = pytest.mark.skipif(
    subprocess.run("command -v go", shell=True, check=False, capture_output=True).returncode != 0,
    reason="needs Go",
)


def run(directory: Path, *options: str, **environ: str) -> tuple[int, str]:
    for name, text in FILES.items():
        (directory / name).write_text(text, "utf-8")
    go_cache = os.environ.get("GOCACHE") or str(Path.home() / ".cache" / "go-build")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", *PLUGINS, "--rootdir=.", *options],
        cwd=directory,
        env={
            **{name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")},
            "PYTHONPATH": f"{ROOT}",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # it starts sooner
            "XDG_CACHE_HOME": str(directory / "cache"),
            "GOCACHE": go_cache,
            "KUBEBUILDER_ASSETS": "",
            **environ,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def order(output: str) -> list[str]:
    """Return the outcomes in the order in which they were reported."""
    lines = re.split(r"^==.*$", output, flags=re.MULTILINE)[1]
    one_process = re.findall(r"::(\w+) (?:.|\n)*?(PASSED|FAILED|ERROR)", lines)
    workers = re.findall(r"\] (PASSED|FAILED|ERROR) .*::(\w+)", lines)
    return [" ".join(each) for each in workers] or [f"{b} {a}" for a, b in one_process]


@needs_go
@pytest.mark.parametrize("options", [[], ["-n2", "--dist=loadfile", "--no-loadscope-reorder"]])
def test_programs_are_built_while_other_tests_run(tmp_path: Path, options: list[str]) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    go = programs / "go"
    go.write_text(WAITING_GO.format(marker=tmp_path / "ran", go=shutil.which("go")), "utf-8")
    go.chmod(0o755)
    code, output = run(tmp_path, *options, PATH=f"{programs}:{os.environ['PATH']}")

    assert code == 0, output
    assert order(output) == ["PASSED test_without_program", "PASSED test_with_program"]
    assert "1/1 building pause" in output


@needs_go
def test_files_that_took_long_run_first(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("def test_short() -> None: ...", "utf-8")
    slow = "import time\n\ndef test_long() -> None: time.sleep(0.5)"
    (tmp_path / "test_b.py").write_text(slow, "utf-8")

    _, first = run(tmp_path, "test_a.py", "test_b.py")
    _, second = run(tmp_path, "test_a.py", "test_b.py")

    assert order(first) == ["PASSED test_short", "PASSED test_long"]
    assert order(second) == ["PASSED test_long", "PASSED test_short"]


@pytest.mark.parametrize("options", [[], ["-n2", "--dist=loadfile", "--no-loadscope-reorder"]])
def test_only_tests_that_need_programs_fail_without_go(tmp_path: Path, options: list[str]) -> None:
    code, output = run(tmp_path, *options, PATH="/nonexistent")

    assert code == 1
    assert sorted(order(output)) == ["ERROR test_with_program", "PASSED test_without_program"]
    assert "There is no Go on the PATH to build pause: install Go 1.26" in output
    assert "Programs are missing; the output says why." in output


def test_nothing_is_built_if_no_selected_test_needs_it(tmp_path: Path) -> None:
    code, output = run(tmp_path, "-k", "without")

    assert code == 0, output
    assert "building" not in output


def test_leftover_program_fails_its_own_file(tmp_path: Path) -> None:
    leak = "    cycle = [socket.socket()]\n    cycle.append(cycle)\n"
    text = f"import socket\n\ndef test_leaves_a_socket() -> None:\n{leak}"
    (tmp_path / "test_leaks.py").write_text(text, "utf-8")

    code, output = run(tmp_path, "-W", "error", "test_leaks.py", "test_second_by_name.py")

    assert code == 1
    assert "ERROR test_leaks.py::test_leaves_a_socket" in output
    assert "unclosed <socket.socket" in output
