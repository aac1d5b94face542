"""`make demo-sidecar` as a user runs it, and what it says of broken promises."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.demo.sidecar import Seen, promises
from tests.support.repository import ROOT
from tests.support.sidecar_process import SECRET
from tests.support.token_endpoint import TOKEN_PREFIX

COMMAND = [sys.executable, "-m", "tests.demo.sidecar"]
GOOD = Seen(reads=1000, tokens=4, least_left=3.2, stop_seconds=0.1)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose directory for temporary files no other process uses."""
    return {**os.environ, "TMPDIR": str(tmp_path)}


def test_sidecar_demo_keeps_its_promises_and_cleans_up(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        COMMAND,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr

    assert done.returncode == 0, output
    for words in (
        "the sidecar wrote the first token",
        "returned the same token, expires_in",
        "it found its token in the files",
        "a token for the new credentials after",
        "a refresh failed; the current token stays in place",
        "kept: a restart caused 0 token requests",
    ):
        assert words in output
    assert output.count("kept: ") == len(promises(GOOD))
    assert TOKEN_PREFIX not in output
    assert SECRET not in output
    assert list(tmp_path.iterdir()) == []


def test_stopped_sidecar_demo_cleans_up(environment: dict[str, str], tmp_path: Path) -> None:
    with subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout
        try:
            while "wrote the first token" not in demo.stdout.readline():
                assert demo.poll() is None
            demo.send_signal(signal.SIGINT)
            output, errors = demo.communicate(timeout=30)
        finally:
            demo.kill()  # else one that hangs is waited for
    assert demo.returncode == 130, output + errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(Seen(), id="nothing was read"),
        pytest.param(replace(GOOD, unusable=["FileNotFoundError"]), id="a missing file"),
        pytest.param(replace(GOOD, least_left=-0.1), id="an expired token"),
        pytest.param(replace(GOOD, exchanges_of_restart=1), id="a needless exchange"),
        pytest.param(replace(GOOD, exit_code=1), id="an exit code"),
        pytest.param(replace(GOOD, stop_seconds=1.5), id="a slow exit"),
        pytest.param(replace(GOOD, leaks=["sidecar.log"]), id="a leak"),
    ],
)
def test_broken_promise_of_the_sidecar_is_reported(seen: Seen) -> None:
    assert all(kept for kept, _ in promises(GOOD))
    assert not all(kept for kept, _ in promises(seen))
