"""The age of mounted files, read in the pods: never the token, only its expiry.

`kubectl exec` reads them, because the protocol of `exec` is not plain HTTP.
"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pinecone_token_operator.api.moments import parse_moment
from pinecone_token_operator.kubectl_plugin.consumers import Use, Way
from pinecone_token_operator.kubectl_plugin.findings import Finding, Severity
from pinecone_token_operator.kubectl_plugin.resource import since
from pinecone_token_operator.targets import names

FILE: Final = "expires_at"
# A kubelet takes up to 90 s to update the files.
_SYNC: Final = timedelta(minutes=2)
_SECONDS: Final = 30


def in_file(use: Use, text: str, secret: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    """Yield that a file is older than the Secret.

    Args:
        use: the container and where the Secret is mounted.
        text: what the file `expires_at` holds.
        secret: the target's metadata.
        now: the time.
    """
    annotations = secret["metadata"].get("annotations") or {}
    mounted, stored = parse_moment(text.strip()), parse_moment(annotations.get(names.EXPIRES_AT))
    written_at = parse_moment(annotations.get(names.REFRESHED_AT))
    if mounted is None or stored is None or written_at is None:
        return
    if mounted >= stored or now - written_at <= _SYNC:
        return
    has_expired = mounted <= now
    yield Finding(
        Severity.ERROR if has_expired else Severity.WARNING,
        f"Pod {use.namespace}/{use.pod}",
        f"the files in {use.where} of container {use.container} are older than the Secret, which"
        f" changed {since(written_at, now)} ago"
        + ("; the token in them has expired" if has_expired else ""),
        "check the kubelet of the pod's node: it updates the files",
    )


def read_expiry(use: Use, kubectl: Sequence[str]) -> str | None:
    """Return what the file `expires_at` of a mounted Secret holds; None if it cannot be read."""
    command = ["kubectl", *kubectl, "-n", use.namespace, "exec", use.pod, "-c", use.container, "--"]
    try:
        done = subprocess.run(  # noqa: S603 - the names are the API server's, and no shell reads them
            [*command, "cat", f"{use.where.rstrip('/')}/{FILE}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def can_check(use: Use) -> bool:
    """Return whether a use has a file that shows its age."""
    return use.way is Way.DIRECTORY and use.is_whole and use.started_at is not None
