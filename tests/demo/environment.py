"""Where the demo runs: a cluster of its own or the reader's; both are used in the same way."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.demo.settings import DemoError
from tests.support.api import Kube
from tests.support.cluster import DIE_WITH_PARENT, Cluster
from tests.support.control_plane import binaries

_KUBECTL_SECONDS = 120
_PROXY_SECONDS = 20
_REQUEST_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Environment:
    """A cluster and how to reach it.

    Attributes:
        own: whether the cluster is the demo's own and is stopped with it.
        kubeconfig: one file with one context.
        environ: the variables that a process needs besides the kubeconfig.
        kubectl_program: kubectl.
        directory: for files that are deleted with the demo.
    """

    own: bool
    kubeconfig: Path
    environ: dict[str, str]
    kubectl_program: Path
    directory: Path

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl and return its output."""
        command = [str(self.kubectl_program), f"--kubeconfig={self.kubeconfig}"]
        command += [f"--cache-dir={self.directory / 'kubectl-cache'}", *arguments]
        return _run(command)


@contextlib.contextmanager
def own_cluster(directory: Path) -> Iterator[Environment]:
    """Start a cluster, and stop it at the end."""
    with Cluster(directory / "cluster", audit=False) as cluster:
        yield Environment(
            own=True,
            kubeconfig=cluster.kubeconfig,
            environ={},
            kubectl_program=binaries("kubectl")["kubectl"],
            directory=directory,
        )


@contextlib.contextmanager
def current_cluster(directory: Path, kubeconfig: str) -> Iterator[Environment]:
    """Use the cluster of the reader's kubeconfig, which may consist of several files."""
    program = binaries("kubectl")["kubectl"]
    command = [str(program), "config", "view", "--raw", "--minify", "--flatten"]
    try:
        text = _run(command, environ={**os.environ, "KUBECONFIG": kubeconfig})
    except DemoError as error:
        raise DemoError(f"KUBECONFIG={kubeconfig} cannot be used: {error}") from None
    file = directory / "kubeconfig"
    file.touch(mode=0o600)
    file.write_text(text, "utf-8")
    # A login plugin may need all of the reader's variables; the endpoint must not use a proxy.
    exempt = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1")))
    env = Environment(
        own=False,
        kubeconfig=file,
        environ={**os.environ, "NO_PROXY": exempt, "no_proxy": exempt},
        kubectl_program=program,
        directory=directory,
    )
    try:
        env.kubectl("get", "--raw", "/version", f"--request-timeout={_REQUEST_SECONDS}s")
    except DemoError as error:
        raise DemoError(
            f"The cluster of KUBECONFIG={kubeconfig} does not respond: {error}"
        ) from None
    yield env


@contextlib.contextmanager
def proxied(env: Environment) -> Iterator[Kube]:
    """Run `kubectl proxy` on a socket that only this user can reach, and return its client.

    kubectl logs in as the kubeconfig says.
    """
    socket = env.directory / "proxy"
    command = [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(env.kubectl_program)]
    command += [f"--kubeconfig={env.kubeconfig}", "proxy", f"--unix-socket={socket}"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        deadline = time.monotonic() + _PROXY_SECONDS
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoError("'kubectl proxy' did not start.")
            time.sleep(0.02)
        client = httpx.Client(
            base_url="http://localhost",
            transport=httpx.HTTPTransport(uds=str(socket)),
            timeout=_REQUEST_SECONDS,
            trust_env=False,
        )
        with Kube.through(client) as kube:
            yield kube
    finally:
        process.kill()
        process.wait()


def _run(command: Sequence[str], environ: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=_KUBECTL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DemoError(f"kubectl took more than {_KUBECTL_SECONDS} s.") from None
    if done.returncode != 0:
        # The last line says what went wrong; those before are about retries.
        lines = done.stderr.strip().splitlines() or [f"kubectl exited with {done.returncode}"]
        raise DemoError(lines[-1])
    return done.stdout
