"""A world with shortcuts, for tests of single rules."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from tests.life.endpoint import GOOD_SECRETS
from tests.life.managed_fields import OPERATOR
from tests.life.paths import NAMESPACE, is_secret, secrets_path, tokens_path
from tests.life.reading import read_secret
from tests.life.small_api import Change
from tests.life.world import World
from tests.support.conditions import conditions
from tests.support.encoding import encode
from tests.support.merge_patch import merge

ACCOUNT: Final = "one"
MINUTE: Final = 60
HOUR: Final = 3600
_STEP: Final = 5
_GOOD: Final = {"Ready": "TokenValid", "Refreshed": "Succeeded"}
_CHUNK: Final = 10
_MOST_REQUESTS: Final = 400


class Lab(World):
    """A world whose namespaces have the credentials `one` and `two`."""

    def __init__(self, *namespaces: str) -> None:
        super().__init__(*namespaces)
        self.most_at_once = 2000
        for namespace in self.namespaces:
            for name, secret in zip(("one", "two"), GOOD_SECRETS, strict=True):
                data = {"client_id": name, "client_secret": secret}
                self.put_credentials(name, data, namespace)
        self.run()

    def run(self, seconds: float = 0) -> None:
        """Let time pass; fail early if the operator makes requests in a hot loop."""
        while seconds > _CHUNK:
            self._run_chunk(_CHUNK)
            seconds -= _CHUNK
        self._run_chunk(seconds)

    def _run_chunk(self, seconds: float) -> None:
        before = len(self.connection.requests)
        super().run(seconds)
        made = len(self.connection.requests) - before
        assert made <= _MOST_REQUESTS, f"{made} requests in {seconds:.0f} s"
        assert not self.violations

    def create(
        self,
        name: str,
        namespace: str = NAMESPACE,
        *,
        same_second: bool = False,
        **spec: Any,
    ) -> None:
        """Create a resource; `spec` is merged into one with defaults."""
        if not same_second:
            self.run(1)
        whole = merge({"credentialsSecretRef": {"name": ACCOUNT}, "suspend": False}, spec)
        self.create_resource(name, whole, namespace, age=0)

    def create_ready(self, count: int) -> None:
        """Create resources `t0`, `t1` and so on, and wait until they have their tokens."""
        for number in range(count):
            self.create(f"t{number}")
        self.run(MINUTE)
        assert all(self.is_ready(f"t{number}") for number in range(count))

    def put_own_secret(self, name: str, namespace: str = NAMESPACE, **data: str) -> None:
        """Create a Secret of a user's that may be merged into."""
        encoded = {key: encode(value) for key, value in data.items()}
        allowed = {"pinecone.token-operator.dev/allow-merge": "true"}
        self.put_secret(name, encoded, namespace, annotations=allowed)

    # What is

    def conditions(self, name: str, namespace: str = NAMESPACE) -> dict[str, Mapping[str, Any]]:
        """Return a resource's conditions by type."""
        return conditions(self.api.find(f"{tokens_path(namespace)}/{name}"))

    def is_ready(self, name: str, namespace: str = NAMESPACE) -> bool:
        """Return whether the status says that there is a valid token."""
        return self.conditions(name, namespace).get("Ready", {}).get("status") == "True"

    def complaints(self, name: str, namespace: str = NAMESPACE) -> list[str]:
        """Return the messages of all conditions that report something bad.

        Ready and Refreshed are good when they are True for the usual reason; any other condition is
        bad when it is True.
        """
        return [
            f"{condition['reason']}: {condition['message']}"
            for type_, condition in self.conditions(name, namespace).items()
            if (condition["status"], condition["reason"]) != ("True", _GOOD.get(type_))
            and (type_ in _GOOD or condition["status"] != "False")
        ]

    def data(self, name: str, namespace: str = NAMESPACE) -> Mapping[str, str] | None:
        """Return a Secret's data as text; None if there is no such Secret."""
        found = self.api.find(f"{secrets_path(namespace)}/{name}")
        return read_secret(found).data if found else None

    def remaining(self, name: str, namespace: str = NAMESPACE) -> timedelta | None:
        """Return the true remaining lifetime of the token in a Secret; None if it holds none."""
        token = (self.data(name, namespace) or {}).get("access_token", "")
        issue = self.endpoint.issued.get(token)
        return issue.expires_at - self.now() if issue else None

    def is_fresh(self, name: str, namespace: str = NAMESPACE) -> bool:
        """Return whether a Secret holds an unexpired token."""
        remaining = self.remaining(name, namespace)
        return remaining is not None and remaining > timedelta()

    # What happens

    def wait_until_ready(self, name: str, namespace: str = NAMESPACE, seconds: int = 10) -> None:
        """Let time pass until a resource is Ready."""
        for _ in self.passing(seconds, step=1):
            if self.is_ready(name, namespace):
                return
        raise AssertionError(f"{namespace}/{name}: {self.conditions(name, namespace)}")

    def passing(self, seconds: int, step: int = _STEP) -> Iterator[int]:
        """Let time pass in steps; yield after each how many seconds have passed."""
        for passed in range(step, seconds + step, step):
            self.run(step)
            yield passed

    def writes(self, since: int = 0) -> list[Change]:
        """Return the operator's changes of Secrets since a resourceVersion."""
        return [
            change
            for changes in self.api.changes.values()
            for change in changes
            if change.version > since and change.by == OPERATOR and is_secret(change.path)
        ]

    def attempts(self, since: int = 0) -> int:
        """Return how many writes of Secrets the operator has tried, after so many requests."""
        return sum(
            method != "GET" and is_secret(path) for method, path in self.connection.requests[since:]
        )

    @property
    def exchanges(self) -> int:
        """Return how many tokens were issued."""
        return len(self.endpoint.issued)
