"""Runs programs in processes that are forked from one which has imported all of them already.

Imports are most of what a test of a few seconds has a program do. The process is one like any
other, with its own memory, connections, log and signals. What it skips is the start of a Python:
tests of that, and of variables that Python or the dynamic linker read, start the program itself.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

Program = Callable[[Sequence[str]], int]

_SECONDS: Final = 120

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__, "tests.support.preloaded_operator"])


class ForkedProcess:
    """A program, in a process with the methods of `subprocess.Popen`.

    Args:
        program: its entry point, such as `cli.main.main`.
        arguments: those of its command line.
        directory: its working directory.
        environ: its environment variables.
        log: the file that its stdout and stderr are appended to.
        errors: a file for its stderr alone.
    """

    def __init__(
        self,
        program: Program,
        arguments: Sequence[str],
        directory: Path,
        environ: Mapping[str, str],
        log: Path,
        errors: Path | None = None,
    ) -> None:
        self._name = program.__module__
        parameters = (program, list(arguments), directory, dict(environ), log, errors or log)
        self._process = _CONTEXT.Process(target=_run, args=parameters, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None, "the process was not started"
        return pid

    def poll(self) -> int | None:
        """Return the exit code, once the process has ended; a negative one is a signal."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has ended, and return its exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended within so many seconds.
        """
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._name, timeout or 0.0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def run_forked(
    program: Program, arguments: Sequence[str], environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a program until it exits, and return its exit code and output."""
    with tempfile.TemporaryDirectory() as temporary:
        output, errors = Path(temporary, "stdout"), Path(temporary, "stderr")
        process = ForkedProcess(program, arguments, Path.cwd(), environ, output, errors)
        try:
            code = process.wait(_SECONDS)
        finally:
            process.kill()
        texts = (output.read_text("utf-8"), errors.read_text("utf-8"))
    return subprocess.CompletedProcess([*arguments], code, *texts)


def _run(
    program: Program,
    arguments: list[str],
    directory: Path,
    environ: dict[str, str],
    log: Path,
    errors: Path,
) -> None:
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.setsid()  # a Ctrl-C is for the parent, which stops the program
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environ)
    for stream, path in ((sys.stdout, log), (sys.stderr, errors)):
        with path.open("ab") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.exit(program(arguments))


def _die_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
