"""A cluster for tests: a real etcd and kube-apiserver on loopback, without nodes.

    with Cluster(tmp_path) as cluster:
        cluster.kubectl("get", "namespaces")

As a program it starts one, prints the path of its kubeconfig and waits until Ctrl-C:

    python -m tests.support.cluster --directory /tmp/cluster
"""

import argparse
import contextlib
import json
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.certificates import make_certificates, make_private_key
from tests.support.control_plane import binaries
from tests.support.kubeconfig import write_kubeconfig

_START_SECONDS = 60.0
_KUBECTL_SECONDS = 300.0

# Asks Linux to kill this process when the one that started it dies, however it dies, then becomes
# the program. A `preexec_fn` would do too, but Python warns of one in a process with threads.
DIE_WITH_PARENT = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
os.execv(sys.argv[1], sys.argv[1:])
"""

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # Who leads is in the body.
        {
            "level": "RequestResponse",
            "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}],
        },
        {"level": "Metadata"},
    ],
}


class ClusterError(Exception):
    """The cluster did not start, or kubectl failed."""


class Cluster:
    """An API server with its store, and a controller manager where asked for.

    Args:
        directory: for its files.
        controller_manager: run Kubernetes' controllers that tests see the effects of: garbage
            collection, deletion of namespaces, default service accounts, aggregated roles.
        audit: keep a log of requests.
        flags: further flags of the API server, without the leading dashes.
        address: that the API server listens on.

    Attributes:
        url: the API server's address; the same after a restart.
        kubeconfig: path of a kubeconfig whose user may do everything.
        audit_log: path of the log of requests, an audit event in JSON on each line.
        token: the bearer token of that user.
        ca_file: path of the certificates that vouch for the API server.
    """

    PROGRAMS: tuple[str, ...] = ("etcd", "kube-apiserver", "kubectl")
    CONTROLLERS = "controllers"

    def __init__(
        self,
        directory: Path,
        *,
        controller_manager: bool = False,
        audit: bool = True,
        flags: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self._directory = directory.resolve()
        self._address = address
        self._audit = audit
        self._has_controllers = controller_manager
        controllers = [self.CONTROLLERS] if controller_manager else []
        self._binaries = binaries(*self.PROGRAMS, *controllers)
        self._flags = dict(flags or {})
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        # A process dies with the thread that started it, so one thread that lives on starts all.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cluster")
        self._etcd_port, self._peer_port, self._port = _free_ports(3)
        host = f"[{address}]" if ":" in address else address
        self.url = f"https://{host}:{self._port}"
        self.kubeconfig = self._directory / "kubeconfig"
        self.audit_log = self._directory / "audit.log"
        self._certificates = self._directory / "certificates"
        self.ca_file = self._certificates / "ca.pem"
        self.token = secrets.token_hex(16)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all, and wait until the API server is ready."""
        try:
            self._write_files()
            self.start_etcd()
            self.start_apiserver()
            if self._has_controllers:
                self._spawn(self.CONTROLLERS, self._controller_flags())
                ready = "/api/v1/namespaces/default/serviceaccounts/default"
                self._wait_for(self.CONTROLLERS, ready)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill all processes. What they wrote stays."""
        for name in reversed(list(self._processes)):
            self._kill(name)
        self._starter.shutdown()

    def kill_apiserver(self) -> None:
        """Kill the API server at once, as a crash would."""
        self._kill("kube-apiserver")

    def start_apiserver(self) -> None:
        """Start the API server, on the same port as before, and wait until it is ready."""
        self._spawn("kube-apiserver", self._apiserver_flags())
        self._wait_for("kube-apiserver", "/readyz", "/api/v1/namespaces/default")
        write_kubeconfig(self.kubeconfig, self.url, self.ca_file, {"token": self.token})

    def _apiserver_flags(self) -> dict[str, str]:
        flags = {
            "etcd-servers": f"http://127.0.0.1:{self._etcd_port}",
            "bind-address": self._address,
            "advertise-address": self._address,
            "endpoint-reconciler-type": "none",  # loopback is no endpoint to publish
            "secure-port": str(self._port),
            "tls-cert-file": str(self._certificates / "leaf.pem"),
            "tls-private-key-file": str(self._certificates / "leaf.key"),
            "authorization-mode": "RBAC",
            "token-auth-file": str(self._directory / "tokens.csv"),
            "service-cluster-ip-range": "10.0.0.0/24",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": str(self._service_account_key),
            "service-account-signing-key-file": str(self._service_account_key),
            "allow-privileged": "true",
        }
        if self._audit:
            flags["audit-policy-file"] = str(self._directory / "audit-policy.json")
            flags["audit-log-path"] = str(self.audit_log)
            flags["audit-log-format"] = "json"
            flags["audit-log-maxsize"] = "8192"  # MB; not rotated while somebody reads it
        return flags | self._flags

    def kill_etcd(self) -> None:
        """Kill the API server's store at once, as a crash would."""
        self._kill("etcd")

    def start_etcd(self) -> None:
        """Start the store, on the same port and with the same data as before."""
        client = f"http://127.0.0.1:{self._etcd_port}"
        peer = f"http://127.0.0.1:{self._peer_port}"
        flags = {
            "name": "tests",
            "data-dir": str(self._store),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"tests={peer}",
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }
        self._spawn("etcd", flags)

    def back_up_store(self, destination: Path) -> None:
        """Copy the store's data as of now, without a restart."""
        etcd = self._processes["etcd"]
        etcd.send_signal(signal.SIGSTOP)  # what a process has written by then outlives it
        try:
            shutil.copytree(self._store, destination)
        finally:
            etcd.send_signal(signal.SIGCONT)

    def restore_store(self, backup: Path) -> None:
        """Restart all with the data that `back_up_store` copied."""
        self.kill_apiserver()
        self.kill_etcd()
        shutil.rmtree(self._store)
        shutil.copytree(backup, self._store)
        self.start_etcd()
        self.start_apiserver()

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002
        """Run kubectl as the user who may do everything, and return what it printed."""
        command = [str(self._binaries["kubectl"]), f"--kubeconfig={self.kubeconfig}"]
        command += [f"--cache-dir={self._directory / 'kubectl-cache'}", *arguments]
        done = subprocess.run(
            command,
            input=input or "",
            capture_output=True,
            encoding="utf-8",
            timeout=_KUBECTL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout

    @property
    def _store(self) -> Path:
        return self._directory / "etcd"

    @property
    def _service_account_key(self) -> Path:
        return self._directory / "service-account.key"

    def _write_files(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        tokens = f'{self.token},admin,admin,"system:masters"\n'
        (self._directory / "tokens.csv").write_text(tokens, "utf-8")
        (self._directory / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY), "utf-8")
        make_private_key(self._service_account_key)
        # The one that the API server would create itself is an RSA key, which takes time to find
        # and at each handshake.
        make_certificates(self._certificates, *self._server_names())

    def _server_names(self) -> tuple[str, ...]:
        """Return the names and addresses at which clients expect the API server."""
        return (self._address, "kubernetes.default.svc")

    def _controller_flags(self) -> dict[str, str]:
        return {"kubeconfig": str(self.kubeconfig)}

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _spawn(self, name: str, flags: dict[str, str]) -> None:
        if name in self._processes:
            raise ClusterError(f"{name} runs already.")
        command = [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(self._binaries[name])]
        command += [f"--{flag}={value}" for flag, value in flags.items()]

        def start() -> subprocess.Popen[bytes]:
            with self._log(name).open("ab") as log:
                return subprocess.Popen(
                    command,
                    cwd=self._directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # a Ctrl-C is for the parent, which stops its own
                )

        self._processes[name] = self._starter.submit(start).result()

    def _kill(self, name: str) -> None:
        if process := self._processes.pop(name, None):
            process.kill()
            process.wait()

    def _wait_for(self, name: str, *paths: str) -> None:
        """Wait until each path answers 200; fail as soon as a process has ended."""
        deadline = time.monotonic() + _START_SECONDS
        waiting = list(paths)
        while waiting:
            if self._answers(waiting[0]):
                waiting.pop(0)
                continue
            for other, process in self._processes.items():
                if process.poll() is not None:
                    raise ClusterError(f"{other} ended:\n{self._tail(other)}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{name} is not ready: {waiting[0]}:\n{self._tail(name)}")
            time.sleep(0.05)

    def _answers(self, path: str) -> bool:
        headers = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            trust = ssl.create_default_context(cafile=self.ca_file)
            handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
            with urllib.request.build_opener(*handlers).open(request, timeout=5) as response:
                response.read()
                return True
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass  # not there yet
        return False

    def _tail(self, name: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self._log(name).read_text("utf-8", "replace")[-3000:]
        return ""


def _free_ports(count: int) -> list[int]:
    """Return ports that nothing listened on a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def main() -> None:
    """Start a cluster, print the path of its kubeconfig, and wait for Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description="Runs a control plane without nodes.")
    parser.add_argument("--directory", type=Path, help="for its files; a temporary one if not set")
    parser.add_argument("--controller-manager", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.ExitStack() as stack:
        directory = arguments.directory or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="cluster-"))
        )
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        cluster = Cluster(directory, controller_manager=arguments.controller_manager)
        stack.enter_context(cluster)
        print(cluster.kubeconfig, flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
