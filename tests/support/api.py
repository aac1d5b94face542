"""A client of the API server for tests: plain JSON over one persistent connection."""

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

import httpx

from tests.support.cluster import Cluster
from tests.support.conditions import conditions
from tests.support.documented import GROUP, KIND, PLURAL, VERSION
from tests.support.encoding import decode, encode
from tests.support.polling import poll_interval

T = TypeVar("T")

Body = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""An object, or the operations of a JSON patch."""

CLIENT_ID = "test-client-id"
CLIENT_SECRET = "test-client-secret-5b0c8f6e"

_REQUEST_SECONDS = 30.0
_RETRY_SECONDS = 0.02
_LISTED_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_WATCHED_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class KubeError(Exception):
    """The API server refused a request; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Kube:
    """A client of the cluster with all permissions.

    Args:
        cluster: the cluster.
        timeout: how many seconds it waits for a response.

    Attributes:
        client_secrets: every client secret that `create_credentials` stored.
    """

    def __init__(self, cluster: Cluster, timeout: float = _REQUEST_SECONDS) -> None:
        self._use(
            httpx.Client(
                base_url=cluster.url,
                headers={"Authorization": f"Bearer {cluster.token}", "User-Agent": "tests"},
                verify=ssl.create_default_context(cafile=cluster.ca_file),
                timeout=timeout,
                trust_env=False,
            )
        )

    @classmethod
    def through(cls, client: httpx.Client) -> Self:
        """Return a client that sends its requests through an HTTP client of the caller's."""
        kube = cls.__new__(cls)
        kube._use(client)  # noqa: SLF001 - it is this class's own
        return kube

    def _use(self, client: httpx.Client) -> None:
        self.client_secrets: list[str] = []
        self._watches: set[socket.socket] = set()
        self._client = client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    # Any object, by its path

    def get(self, path: str, *, metadata_only: bool = False) -> dict[str, Any] | None:
        """Return an object or a list; None if there is no such object.

        `metadata_only` is for lists.
        """
        accept = {"Accept": _LISTED_METADATA} if metadata_only else {}
        try:
            return self._request("GET", path, headers=accept)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def create(self, path: str, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object in the collection at the path."""
        return self._request("POST", path, obj)

    def patch(self, path: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a merge patch."""
        return self._request("PATCH", path, patch, "application/merge-patch+json")

    def patch_by(self, path: str, operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Apply a JSON patch."""
        return self._request("PATCH", path, operations, "application/json-patch+json")

    def replace(self, path: str, obj: Mapping[str, Any]) -> dict[str, Any]:
        return self._request("PUT", path, obj)

    def delete(self, path: str) -> None:
        self._request("DELETE", path)

    def watch(
        self, path: str, version: str, seconds: int, *, metadata_only: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yield the events of a collection since a resourceVersion, for so many seconds."""
        separator = "&" if "?" in path else "?"
        query = f"watch=true&resourceVersion={version}&timeoutSeconds={seconds}"
        accept = {"Accept": _WATCHED_METADATA} if metadata_only else {}
        timeout = httpx.Timeout(_REQUEST_SECONDS, read=None)
        with self._client.stream(
            "GET", f"{path}{separator}{query}", headers=accept, timeout=timeout
        ) as response:
            if response.is_error:
                response.read()
                raise KubeError(response.status_code, f"GET {path}: {_message(response)}")
            connection = response.extensions["network_stream"].get_extra_info("socket")
            self._watches.add(connection)
            try:
                for line in response.iter_lines():
                    yield json.loads(line)
            finally:
                self._watches.discard(connection)

    def interrupt_watches(self) -> None:
        """Break the connections of all watches, from any thread; they end with an HTTPError."""
        for connection in list(self._watches):
            with contextlib.suppress(OSError):  # it ended by itself
                connection.shutdown(socket.SHUT_RDWR)

    # Namespaces

    def remove_namespace(self, name: str) -> None:
        """Remove a namespace, its resources and its Secrets; no-op if it is gone.

        At once: what Kubernetes does about the deletion of a namespace takes eighty requests.
        """
        path = f"/api/v1/namespaces/{name}"
        finalized = {"metadata": {"name": name}, "spec": {"finalizers": []}}
        requests: tuple[tuple[str, str, Body | None], ...] = (
            ("DELETE", secret_path(name), None),
            ("DELETE", token_path(name), None),
            ("PUT", f"{path}/finalize", finalized),
            ("DELETE", path, None),  # it is terminating,
            ("DELETE", path, None),  # and gone
        )
        for method, where, body in requests:
            try:
                self._request(method, where, body)
            except KubeError as error:
                if error.status != httpx.codes.NOT_FOUND:
                    raise

    # Secrets

    def secret(self, namespace: str, name: str) -> dict[str, str] | None:
        """Return a Secret's data, decoded."""
        obj = self.secret_object(namespace, name)
        if obj is None:
            return None
        return decode(obj.get("data") or {})

    def secret_object(self, namespace: str, name: str) -> dict[str, Any] | None:
        return self.get(secret_path(namespace, name))

    def create_secret(
        self, namespace: str, name: str, data: Mapping[str, str | bytes], **metadata: object
    ) -> dict[str, Any]:
        obj = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, **metadata},
            "data": {key: encode(value) for key, value in data.items()},
        }
        return self.create(secret_path(namespace), obj)

    def create_credentials(
        self,
        namespace: str,
        name: str = "account",
        client_id: str = CLIENT_ID,
        client_secret: str = CLIENT_SECRET,
    ) -> dict[str, Any]:
        self.client_secrets.append(client_secret)
        data = {"client_id": client_id, "client_secret": client_secret}
        return self.create_secret(namespace, name, data)

    # PineconeAccessTokens

    def token(self, namespace: str, name: str = "search") -> dict[str, Any] | None:
        return self.get(token_path(namespace, name))

    def create_token(self, namespace: str, name: str = "search", **spec: object) -> dict[str, Any]:
        obj = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"name": name},
            "spec": {"credentialsSecretRef": {"name": "account"}, **spec},
        }
        return self.create(token_path(namespace), obj)

    def patch_token(self, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        return self.patch(token_path(namespace, name), patch)

    def condition(self, namespace: str, name: str, type_: str) -> Mapping[str, Any] | None:
        """Return one condition of a token's status; None also if there is no such token."""
        return conditions(self.token(namespace, name)).get(type_)

    def reason(self, namespace: str, name: str, type_: str) -> str | None:
        """Return the reason of one condition; None if there is no such condition."""
        return (self.condition(namespace, name, type_) or {}).get("reason")

    def until(
        self, namespace: str, type_: str, reason: str, name: str = "search", timeout: float = 60
    ) -> None:
        """Wait until a condition has this reason."""
        eventually(
            lambda: self.reason(namespace, name, type_) == reason,
            f"{type_} of {name} has reason {reason}",
            timeout,
        )

    def _request(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        fields = {**(headers or {}), **({} if body is None else {"Content-Type": content_type})}
        deadline = time.monotonic() + _REQUEST_SECONDS
        while True:
            response = self._client.request(method, path, json=body, headers=fields)
            # The API server answers so until it can store a kind, for example when it starts.
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS or time.monotonic() > deadline:
                break
            time.sleep(_RETRY_SECONDS)
        if response.is_error:
            raise KubeError(response.status_code, f"{method} {path}: {_message(response)}")
        answer: dict[str, Any] = response.json()
        return answer


def secret_path(namespace: str, name: str = "") -> str:
    """Return the path of a Secret; without a name, of all in the namespace."""
    return f"/api/v1/namespaces/{namespace}/secrets/{name}".rstrip("/")


def token_path(namespace: str, name: str = "") -> str:
    """Return the path of a PineconeAccessToken; without a name, of all in the namespace."""
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}".rstrip("/")


def eventually(
    check: Callable[[], T | None], what: str, timeout: float = 60, *, poll: float | None = None
) -> T:
    """Call a check until it returns something true, and return that.

    Args:
        check: what to call.
        what: what should become true.
        timeout: after how many seconds to give up.
        poll: how many seconds to wait between calls; by default, longer the longer it takes.

    Raises:
        AssertionError: it timed out; the message says what should have become true.
    """
    started = time.monotonic()
    while True:
        # The clock is read first, so that the last check never starts before the deadline.
        waited = time.monotonic() - started
        late = waited > timeout
        if value := check():
            return value
        if late:
            # Nothing that is false can be secret.
            raise AssertionError(f"not within {timeout:g} s: {what}; the last value was {value!r}")
        time.sleep(poll_interval(waited) if poll is None else poll)


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return "no message"
