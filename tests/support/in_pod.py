"""Runs a process that finds the API server as in a pod, by a service account.

Its files are at a fixed path, which the process sees in a mount namespace of its own.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_MOUNT: Final = """
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/kubernetes.io
ln -s "$1" /run/secrets/kubernetes.io/serviceaccount
shift
exec "$@"
"""
_NAMESPACE: Final = ("unshare", "--map-root-user", "--mount")


def lacks_namespaces() -> bool:
    """Return whether this user may not mount anything in a namespace of its own."""
    command = [*_NAMESPACE, "true"]
    return (
        not shutil.which(command[0])
        or subprocess.run(command, capture_output=True, check=False).returncode != 0
    )


class ServiceAccount:
    """A service account's files, and how to run a process that has them.

    Args:
        url: the API server's.
        ca_file: its CA.
        token: the service account's.
        namespace: the pod's.
        directory: where to create the files.

    Attributes:
        command: starts the process, given its own command after this.
        environ: the environment variables that Kubernetes sets.
    """

    def __init__(
        self, url: str, ca_file: Path, token: str, namespace: str, directory: Path
    ) -> None:
        directory.mkdir(parents=True)
        shutil.copy(ca_file, directory / "ca.crt")
        (directory / "namespace").write_text(namespace, "utf-8")
        (directory / "token").write_text(token, "utf-8")
        server = urlsplit(url)
        self.command = [*_NAMESPACE, "sh", "-euc", _MOUNT, "sh", str(directory)]
        self.environ = {
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
        }
