"""The API proxy of tests simulates the faults that it promises."""

import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.api import Kube, eventually, secret_path
from tests.support.api_proxy import ApiProxy, Line
from tests.support.cluster import Cluster

NAME, OTHER = "operator-0", "operator-1"
NAMESPACE = "/api/v1/namespaces/default"
SECRETS = "/api/v1/secrets"


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[ApiProxy]:
    with ApiProxy(cluster.url, cluster.ca_file, tmp_path, [NAME, OTHER]) as running:
        yield running


@pytest.fixture
def line(proxy: ApiProxy) -> Line:
    return proxy.lines[NAME]


@pytest.fixture
def client(cluster: Cluster, proxy: ApiProxy, line: Line) -> Iterator[httpx.Client]:
    trust = ssl.create_default_context(cafile=proxy.ca_file)
    headers = {"Authorization": f"Bearer {cluster.token}"}
    with httpx.Client(
        base_url=line.url, headers=headers, verify=trust, timeout=2, trust_env=False
    ) as created:
        yield created


class Watch:
    """A watch of all Secrets, read by a thread of its own."""

    def __init__(self, client: httpx.Client) -> None:
        position = client.get(SECRETS).json()["metadata"]["resourceVersion"]
        self.types: list[str] = []
        self.names: list[str] = []
        self.codes: list[int] = []
        self.broken = False
        query = {"watch": "true", "resourceVersion": position}
        self._request = client.build_request("GET", SECRETS, params=query, timeout=None)
        self._client = client
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def _read(self) -> None:
        try:
            answer = self._client.send(self._request, stream=True)
            self.codes.append(answer.status_code)
            for text in answer.iter_lines():
                event = json.loads(text)
                if "type" in event:
                    self.types.append(event["type"])
                    self.codes.append(event["object"].get("code", 200))
                    self.names.append(event["object"].get("metadata", {}).get("name", ""))
        except httpx.TransportError:
            self.broken = True


def test_proxy_forwards_requests(client: httpx.Client, kube: Kube, namespace: str) -> None:
    body = {"metadata": {"name": "passed"}, "stringData": {"key": "value"}}
    assert client.post(secret_path(namespace), json=body).status_code == 201
    assert kube.secret(namespace, "passed") == {"key": "value"}
    assert client.get(secret_path(namespace, "absent")).status_code == 404


def test_proxy_forwards_watch_events(client: httpx.Client, kube: Kube, namespace: str) -> None:
    watch = Watch(client)
    eventually(lambda: watch.codes, "the watch has started")
    kube.create_secret(namespace, "reported", {"key": "value"})
    eventually(lambda: "reported" in watch.names, "the watch delivers the event")


def test_proxy_refuses_a_number_of_requests(client: httpx.Client, line: Line) -> None:
    line.refusals, line.refusal = 2, 401
    assert [client.get(NAMESPACE).status_code for _ in range(3)] == [401, 401, 200]


def test_proxy_refuses_requests_until_reset(client: httpx.Client, line: Line) -> None:
    line.refusal = 503
    assert client.get(NAMESPACE).json()["reason"] == "ServiceUnavailable"
    line.refusal = None
    assert client.get(NAMESPACE).status_code == 200


def test_proxy_faults_affect_only_their_line(client: httpx.Client, proxy: ApiProxy) -> None:
    proxy.lines[OTHER].refusal = 429
    assert client.get(NAMESPACE).status_code == 200


def test_proxy_stalls_and_resumes(client: httpx.Client, line: Line) -> None:
    line.stalled = True
    with pytest.raises(httpx.ReadTimeout):
        client.get(NAMESPACE, timeout=0.5)
    line.stalled = False
    assert client.get(NAMESPACE).status_code == 200


def test_proxy_drops_requests_that_the_client_gave_up(
    client: httpx.Client, line: Line, kube: Kube, namespace: str
) -> None:
    line.stalled = True
    with pytest.raises(httpx.ReadTimeout):
        client.post(secret_path(namespace), json={"metadata": {"name": "late"}}, timeout=0.5)
    line.stalled = False
    assert client.get(NAMESPACE).status_code == 200
    assert kube.secret(namespace, "late") is None


def test_proxy_cut_breaks_watches(client: httpx.Client, proxy: ApiProxy) -> None:
    watch = Watch(client)
    eventually(lambda: watch.codes, "the watch has started")
    proxy.cut(NAME)
    eventually(lambda: watch.over, "the watch is over")
    assert watch.broken


def test_proxy_closes_watches_at_once(client: httpx.Client, line: Line) -> None:
    line.closes_watches = True
    watch = Watch(client)
    eventually(lambda: watch.over, "the watch is over")
    assert (watch.codes, watch.names, watch.broken) == ([200], [], False)


def test_proxy_expires_watches_by_status_and_by_event(client: httpx.Client, line: Line) -> None:
    line.expires_watches = True
    at_once = Watch(client)
    eventually(lambda: at_once.over, "the first watch is over")
    in_event = Watch(client)
    eventually(lambda: in_event.over, "the second watch is over")
    assert at_once.codes == [410]
    assert (in_event.types, in_event.codes) == (["ERROR"], [200, 410])


def test_proxy_keeps_silent_watches_silent(
    client: httpx.Client, line: Line, kube: Kube, namespace: str
) -> None:
    silent = Watch(client)
    eventually(lambda: silent.codes, "the watch has started")
    line.silent_watches = True
    line.silent_watches = False
    new = Watch(client)
    eventually(lambda: new.codes, "another watch has started")
    kube.create_secret(namespace, "reported", {"key": "value"})
    eventually(lambda: "reported" in new.names, "the new watch delivers the event")
    assert "reported" not in silent.names
    assert not silent.over
