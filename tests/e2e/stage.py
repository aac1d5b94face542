"""What all steps of the scenario share."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.node import Node
from tests.e2e.user import User
from tests.support.audit import AuditLog
from tests.support.leaks import find_leaks
from tests.support.token_endpoint import TokenEndpoint

CLIENT, SECRET = "team-client", "team-secret-not-to-be-shown"
ROTATED = "rotated-secret-not-to-be-shown"


@dataclass(frozen=True, slots=True)
class Form:
    """The length of a run.

    Attributes:
        lifetime: of tokens, in seconds.
        watch: how long the file is watched, in seconds.
        readers: how many pods read it; the kubelet syncs each at another moment.
        sync_frequency: of the kubelet; empty for its default.
    """

    lifetime: int
    watch: float
    readers: int
    sync_frequency: str


# By default a kubelet takes up to 90 s to update the file, which is longer than tokens that live
# 150 s have left when they are refreshed. So the short form has a kubelet that syncs more often.
SHORT = Form(lifetime=150, watch=170.0, readers=2, sync_frequency="20s")
LONG = Form(lifetime=240, watch=900.0, readers=4, sync_frequency="")


@dataclass(slots=True)
class Stage:
    """The cluster with its node, the user, the token endpoint, and the findings so far.

    Attributes:
        form: the length of the run.
        user: runs helm and kubectl.
        node: the cluster's node.
        endpoint: the token endpoint.
        audit: the API server's audit log.
        directory: of the run.
        image: the operator's image.
        found: figures for the report, in order.
        seconds: how long each step took.
    """

    form: Form
    user: User
    node: Node
    endpoint: TokenEndpoint
    audit: AuditLog
    directory: Path
    image: str
    found: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step and measure its duration."""
        say(f"{name} ...")
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)
        say(f"{name}: {self.seconds[name]} s")

    def assert_no_leak(self, when: str) -> None:
        """Check that no log contains a token or the client secret."""
        # Before an uninstall too: a pod's log is deleted with the pod.
        paths = list(self.directory.rglob("*.log"))
        logs = {str(path): path.read_text("utf-8", "replace") for path in paths}
        assert find_leaks(logs, [SECRET, ROTATED, *self.endpoint.tokens]) == []
        self.found[f"logs without a secret, {when}"] = len(logs)


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
