"""Runs the operator as a process, and observes it through its log, probes and metrics.

with Operator(cluster.kubeconfig, endpoint.url, endpoint.ca_bundle, tmp_path) as operator:
    operator.wait_ready()
"""

import http.client
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, Self

from prometheus_client.parser import text_string_to_metric_families

from pinecone_token_operator.cli.main import main
from tests.support.cluster import DIE_WITH_PARENT
from tests.support.forked_process import ForkedProcess
from tests.support.in_pod import ServiceAccount
from tests.support.polling import poll_interval
from tests.support.token_endpoint import TokenEndpoint

_STOP_SECONDS = 10.0
_REQUEST_SECONDS = 5.0
_TAIL_LINES = 40
_ERROR_LEVELS = ("error", "critical")
_SERVING = re.compile(r"Serving probes and metrics on 127\.0\.0\.1:(\d+)")

# A process dies with the thread that started it, so one thread that lives on starts all.
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="operator")


class OperatorError(Exception):
    """The operator did not start, did not stop, or is not running."""


class Operator:
    """One operator. It can be stopped or killed and started again; its log is appended to.

    Args:
        kubeconfig: how it reaches the API server, unless it has an account.
        endpoint_url: the token endpoint.
        ca_bundle: the CA of the token endpoint.
        directory: where to create its files.
        namespaces: those that it watches; none means all.
        options: further arguments.
        environ: further environment variables.
        python: the interpreter that runs it.
        account: the service account that it finds, as in a pod.
        forked: fork it from a process that has imported it already, instead of starting `python`.

    Attributes:
        log: the file with its stdout and stderr.
        allow_errors: whether the test expects errors and tracebacks in the log.
    """

    def __init__(
        self,
        kubeconfig: Path,
        endpoint_url: str,
        ca_bundle: Path,
        directory: Path,
        *,
        namespaces: Sequence[str] = (),
        options: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        python: str = sys.executable,
        account: ServiceAccount | None = None,
        forked: bool = False,
    ) -> None:
        self.log = directory / "operator.log"
        self.allow_errors = False
        self._directory = directory
        self._arguments = ["run", *([] if account else ["--kubeconfig", str(kubeconfig)])]
        self._arguments += ["--token-url", endpoint_url, "--ca-bundle", str(ca_bundle)]
        self._arguments += ["--health-address", "127.0.0.1:0"]
        self._arguments += ["--log-format", "json", "--log-level", "debug"]
        for namespace in namespaces:
            self._arguments += ["--namespace", namespace]
        self._arguments += options
        self._program = [*account.command] if account else []
        self._program += [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, python]
        self._program += ["-m", "pinecone_token_operator"]
        self._forked = forked
        # The developer's own settings, such as a proxy or a kubeconfig, must have no effect.
        self._environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(directory),
            "PYTHONUNBUFFERED": "1",
            **(account.environ if account else {}),
            **(environ or {}),
        }
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self._log_start = 0
        self._port: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.stop()

    def start(self) -> None:
        """Start the process without waiting for anything."""
        if self._process is not None:
            raise OperatorError("The operator is already started; stop or kill it first.")
        self._directory.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        self._log_start = self.log.stat().st_size
        self._port = None
        if self._forked:
            self._process = ForkedProcess(
                main, self._arguments, self._directory, self._environ, self.log
            )
            return

        def spawn() -> subprocess.Popen[bytes]:
            with self.log.open("ab") as log:
                return subprocess.Popen(
                    [*self._program, *self._arguments],
                    cwd=self._directory,
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for the parent, which stops the operator
                )

        self._process = _STARTER.submit(spawn).result()

    def wait_ready(self, timeout: float = 60) -> None:
        """Wait until /readyz answers 200.

        Raises:
            OperatorError: it exited or was not ready in time; the message has the end of the log.
        """
        started = time.monotonic()
        answer = "it is not listening yet"
        while True:
            if (code := self._running().poll()) is not None:
                raise OperatorError(f"The operator exited with {code}:\n{self._tail()}")
            if self._find_port() is not None:
                try:
                    status, answer = self.get("/readyz")
                except (OSError, http.client.HTTPException) as error:
                    answer = repr(error)
                else:
                    if status == 200:
                        return
            waited = time.monotonic() - started
            if waited > timeout:
                raise OperatorError(f"The operator is not ready: {answer}\n{self._tail()}")
            time.sleep(poll_interval(waited))

    def stop(self) -> int:
        """Send SIGTERM and return the exit code, even if the process exited before.

        Raises:
            OperatorError: it did not exit within ten seconds and was killed.
        """
        process = self._running()
        process.terminate()
        try:
            code = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise OperatorError(
                f"The operator ignored SIGTERM for {_STOP_SECONDS:.0f} s:\n{self._tail()}"
            ) from None
        finally:
            self.kill()
        return code

    def wait(self, timeout: float) -> int:
        """Wait until the process exits by itself, and return its exit code."""
        try:
            code = self._running().wait(timeout)
        except subprocess.TimeoutExpired:
            raise OperatorError(f"The operator did not exit:\n{self._tail()}") from None
        self._process = self._port = None
        return code

    def signal(self, number: signal.Signals) -> None:
        self._running().send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL and wait until the process is gone."""
        process = self._running()
        process.kill()
        process.wait()
        self._process = self._port = None

    @property
    def running(self) -> bool:
        """Whether the process was started and has not exited."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code, once the process has exited; a negative one is a signal."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int:
        return self._running().pid

    def get(self, path: str) -> tuple[int, str]:
        """Return the status and the body of a response of the probe and metrics listener."""
        port = self._find_port()
        if port is None:
            raise OperatorError(f"The operator is not listening:\n{self._tail()}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_REQUEST_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, name: str, /, **labels: str) -> float:
        """Return the sum of a metric's samples with these labels; NaN if there are none.

        NaN does not equal anything, not even itself, so that a wait for a value continues.
        """
        status, text = self.get(f"/metrics?name[]={name}")
        if status != 200:
            raise OperatorError(f"/metrics returned {status}")
        found = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else math.nan

    def cpu_seconds(self) -> float:
        """Return the processor time of the process, user and system, in seconds."""
        # The command name, in parentheses, may contain spaces; utime and stime are 14 and 15.
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        """Return the resident memory of the process."""
        return int(self._proc("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def peak_rss_bytes(self) -> int:
        """Return the peak resident memory of the process."""
        status = self._proc("status")
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]

    def errors(self) -> list[str]:
        """Return the lines of the log that report an error or contain a traceback."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return [line for line in lines if "Traceback" in line or _level(line) in _ERROR_LEVELS]

    def _running(self) -> subprocess.Popen[bytes] | ForkedProcess:
        if self._process is None:
            raise OperatorError("The operator was not started or was stopped.")
        return self._process

    def _find_port(self) -> int | None:
        """Return the port that the current process listens on, once it is in the log."""
        if self._port is None and self._process is not None:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                text = log.read().decode("utf-8", "replace")
            # A line that is still being written may contain only part of the port.
            if found := _SERVING.search(text[: text.rfind("\n") + 1]):
                self._port = int(found[1])
        return self._port

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text("utf-8")

    def _tail(self) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-_TAIL_LINES:])


class StartOperator(Protocol):
    """Starts operators that are stopped with the test.

    Each serves the given namespaces, by default the test's own; "*" means all. It is forked unless
    it has variables of its own, which may have to be there when Python starts.
    """

    def __call__(
        self,
        *namespaces: str,
        options: Sequence[str] = (),
        endpoint: TokenEndpoint | None = None,
        environ: Mapping[str, str] | None = None,
        kubeconfig: Path | None = None,
        wait: bool = True,
        forked: bool = True,
    ) -> Operator: ...


def _level(line: str) -> object:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record.get("level") if isinstance(record, dict) else None
