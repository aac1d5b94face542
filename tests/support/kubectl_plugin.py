"""Runs the kubectl plugin as a user does, and makes pods that use a target."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pinecone_token_operator.cli import kubectl_plugin
from tests.support.api import Kube, KubeError, eventually
from tests.support.forked_process import run_forked

PLUGIN = Path(sys.executable).with_name("kubectl-pinecone_token")
COMPLETE = Path(sys.executable).with_name("kubectl_complete-pinecone_token")
_SECONDS = 120


class Plugin:
    """The plugin with a kubeconfig, as a process.

    Args:
        kubeconfig: the user's kubeconfig.
        home: the user's home directory.
        namespace: passed as `-n` unless a command says otherwise.
        forked: fork it from a process that has imported it already, unless a command has further
            variables, which may have to be there when Python starts.
    """

    def __init__(
        self, kubeconfig: Path, home: Path, namespace: str, *, forked: bool = False
    ) -> None:
        self._environ = {"KUBECONFIG": str(kubeconfig), "HOME": str(home), "PATH": "/usr/bin:/bin"}
        self._namespace = namespace
        self._forked = forked

    def with_path(self, *directories: str) -> Self:
        """Return it with other directories of programs, such as kubectl's."""
        self._environ["PATH"] = os.pathsep.join(directories)
        return self

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespace, and return its exit code and output."""
        return self.run_as_is(*arguments, "-n", self._namespace, **environ)

    def run_as_is(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command without a namespace."""
        if self._forked and not environ:
            return run_forked(kubectl_plugin.main, arguments, self._environ)
        return _run([str(PLUGIN), *arguments], self._environ | environ)

    def complete(self, *words: str) -> list[str]:
        """Return the lines that complete the last word."""
        if self._forked:
            done = run_forked(kubectl_plugin.complete, words, self._environ)
        else:
            done = _run([str(COMPLETE), *words], self._environ)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()


def _run(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def container(name: str = "app", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "registry.example/app", **fields}


def run_pod(
    kube: Kube, namespace: str, name: str, started: str, spec: Mapping[str, Any], **metadata: Any
) -> None:
    """Create a pod and report its containers as running, as a kubelet would."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    body = {
        "metadata": {"name": name, **metadata},
        "spec": {"automountServiceAccountToken": False, **spec},
    }

    def create() -> bool:
        try:
            kube.create(pods, body)
        except KubeError as error:
            if error.status != 403:
                raise
            return False  # the namespace has no default ServiceAccount yet
        return True

    eventually(create, "the pod is created")
    statuses = [
        {
            "name": each["name"],
            "image": "app",
            "imageID": "",
            "ready": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": started}},
        }
        for each in spec["containers"]
    ]
    status = {"phase": "Running", "startTime": started, "containerStatuses": statuses}
    kube.patch(f"{pods}/{name}/status", {"status": status})


def create_ready_token(kube: Kube, namespace: str) -> None:
    """Create a resource `search` with its credentials, and wait until it has a token."""
    kube.create_credentials(namespace)
    kube.create_token(namespace, "search")
    kube.until(namespace, "Ready", "TokenValid")
