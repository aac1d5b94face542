"""The service account of the pod in which this process runs, as the kubelet mounts it.

The Kubernetes client reads it, too, but importing it takes 11 MB and a quarter of the startup time.

https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/#directly-accessing-the-rest-api
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

DIRECTORY: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class NotInPodError(Exception):
    """The process is not in a pod with a service account; the message names what is missing."""


class PodConfiguration:
    """Where the API server is and how a pod authenticates; see `auth.Configuration`.

    Args:
        environ: the environment variables.

    Raises:
        NotInPodError: a variable or a file is missing.
    """

    ca_cert_data = cert_file = key_file = proxy = tls_server_name = None
    verify_ssl = True

    def __init__(self, environ: Mapping[str, str]) -> None:
        host, port = (
            environ.get(name) for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
        )
        if not host or not port:
            raise NotInPodError("KUBERNETES_SERVICE_HOST or KUBERNETES_SERVICE_PORT is not set.")
        self.host = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        self.ssl_ca_cert = str(DIRECTORY / "ca.crt")
        _read(DIRECTORY / "ca.crt")
        self._token = _read(DIRECTORY / "token")

    async def reload(self) -> None:
        """Read the token again, which the kubelet renews."""
        self._token = _read(DIRECTORY / "token")

    async def get_api_key_with_prefix(self, identifier: str) -> str:
        """Return the Authorization header."""
        del identifier
        return f"Bearer {self._token}"


def _read(path: Path) -> str:
    try:
        found = path.read_text("utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        raise NotInPodError(f"{path} does not exist.") from None
    if not found:
        raise NotInPodError(f"{path} is empty.")
    return found
