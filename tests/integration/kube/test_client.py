import asyncio
import base64
import contextlib
import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
import yarl
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube import client
from pinecone_token_operator.kube.timing import Timing
from tests.support.certificates import make_certificates
from tests.support.cluster import Cluster
from tests.support.stream_server import Serve, stream_server

SECRETS = "/api/v1/namespaces/default/secrets"
SOON = timedelta(seconds=0.3)
LONG = timedelta(seconds=10)
RELOAD_EACH_TIME = Timing(reload_every=timedelta(0))
RELOAD_ON_401 = Timing(reload_refused=timedelta(0))


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[client.Api]:
    async with contextlib.aclosing(await client.connect(cluster.kubeconfig, None)) as connected:
        yield connected


def secret(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}


def unique() -> str:
    return f"kube-{uuid.uuid4().hex[:8]}"


def write_kubeconfig(
    path: Path,
    server: str,
    user: Mapping[str, Any] | None = None,
    trust: Mapping[str, str] | None = None,
) -> Path:
    config = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": server, **(trust or {})}}],
        "users": [{"name": "test", "user": user or {"token": "first"}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def write_client_certificate(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "operator")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (path / "client.pem").write_bytes(certificate.public_bytes(pem))
    (path / "client.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    )


@contextlib.asynccontextmanager
async def serving(
    serve: Serve,
    path: Path,
    user: Mapping[str, Any] | None = None,
    tls: ssl.SSLContext | None = None,
    trust: Mapping[str, str] | None = None,
    timing: Timing | None = None,
    observe_date: Callable[[str], object] = lambda _: None,
) -> AsyncIterator[client.Api]:
    """An API whose server answers each request, its head already read, with `serve`."""

    async with stream_server(serve, tls) as port:
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        kubeconfig = write_kubeconfig(path / "kubeconfig", url, user, trust)
        api = await client.connect(kubeconfig, None, observe_date, timing or Timing())
        async with contextlib.aclosing(api) as connected:
            yield connected


async def head(reader: asyncio.StreamReader) -> dict[str, str]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def replying(body: bytes, *, status: str = "200 OK", length: int | None = None) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        size = len(body) if length is None else length
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + body)
        await writer.drain()

    return serve


async def collect(events: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event async for event in events]


async def test_request_creates_patches_and_reads(api: client.Api) -> None:
    name = unique()
    created = await api.request("POST", SECRETS, body=secret(name))
    patched = await api.request(
        "PATCH",
        f"{SECRETS}/{name}",
        body={"metadata": {"labels": {"a": "b"}}},
        query=[("fieldManager", "test")],
        content_type="application/merge-patch+json",
    )
    read = await api.request(
        "GET",
        f"{SECRETS}/{name}",
        accept="application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    )

    assert read["metadata"]["uid"] == created["metadata"]["uid"]
    assert read["metadata"]["labels"] == {"a": "b"}
    assert read["metadata"]["resourceVersion"] == patched["metadata"]["resourceVersion"]
    assert read["kind"] == "PartialObjectMetadata"


async def test_request_for_a_missing_object_is_not_found(api: client.Api) -> None:
    with pytest.raises(ApiError) as caught:
        await api.request("GET", f"{SECRETS}/missing")

    assert (caught.value.http_status, caught.value.reason) == (404, "NotFound")
    assert caught.value.message == 'secrets "missing" not found'


async def test_request_conflicts_on_a_second_create_and_a_stale_write(api: client.Api) -> None:
    name = unique()
    created = await api.request("POST", SECRETS, body=secret(name))
    with pytest.raises(ApiError) as again:
        await api.request("POST", SECRETS, body=secret(name))
    await api.request("PUT", f"{SECRETS}/{name}", body={**created, "stringData": {"a": "1"}})
    with pytest.raises(ApiError) as stale:
        await api.request("PUT", f"{SECRETS}/{name}", body={**created, "stringData": {"a": "2"}})

    assert (again.value.http_status, again.value.reason) == (409, "AlreadyExists")
    assert (stale.value.http_status, stale.value.reason) == (409, "Conflict")


async def test_watch_yields_events_until_the_server_closes(api: client.Api) -> None:
    name = unique()
    created = await api.request("POST", SECRETS, body=secret(name))
    version = created["metadata"]["resourceVersion"]
    query = [
        ("fieldSelector", f"metadata.name={name}"),
        ("resourceVersion", version),
        ("timeoutSeconds", "1"),
    ]
    events = asyncio.create_task(collect(api.watch(SECRETS, query=query, inactivity=LONG)))
    await api.request("PUT", f"{SECRETS}/{name}", body={**created, "stringData": {"a": "1"}})
    await api.request("DELETE", f"{SECRETS}/{name}")

    assert [event["type"] for event in await events] == ["MODIFIED", "DELETED"]


async def test_watch_of_an_unknown_collection_is_not_found(api: client.Api) -> None:
    with pytest.raises(ApiError) as caught:
        await collect(api.watch("/api/v1/nothing", query=[], inactivity=LONG))

    assert caught.value.http_status == 404


async def test_session_authenticates_and_calls_the_middleware(api: client.Api) -> None:
    asked: list[str] = []

    async def around(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        asked.append(request.url.path)
        return await handler(request)

    async with (
        api.session(around) as session,
        session.get(f"{api.server}{SECRETS}") as good,
        session.get(f"{api.server}/nothing") as missing,
    ):
        assert (good.status, missing.status) == (200, 404)
    assert asked == [SECRETS, "/nothing"]


async def test_request_without_valid_credentials_is_unauthorized(
    cluster: Cluster, tmp_path: Path
) -> None:
    kubeconfig = write_kubeconfig(
        tmp_path / "kubeconfig", cluster.url, trust={"certificate-authority": str(cluster.ca_file)}
    )
    async with contextlib.aclosing(await client.connect(kubeconfig, "test")) as api:
        with pytest.raises(ApiError) as caught:
            await api.request("GET", SECRETS)

    assert (caught.value.http_status, caught.value.reason) == (401, "Unauthorized")


async def test_request_to_an_untrusted_server_says_so(cluster: Cluster, tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", cluster.url)
    async with contextlib.aclosing(await client.connect(kubeconfig, None)) as api:
        with pytest.raises(ApiError, match="certificate verify failed") as caught:
            await api.request("GET", SECRETS)

    assert (caught.value.http_status, caught.value.reason) == (0, "ConnectionFailed")


async def test_request_checks_the_configured_tls_server_name(
    cluster: Cluster, tmp_path: Path
) -> None:
    trust = {"certificate-authority": str(cluster.ca_file), "tls-server-name": "elsewhere"}
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", cluster.url, trust=trust)
    async with contextlib.aclosing(await client.connect(kubeconfig, None)) as api:
        with pytest.raises(ApiError, match="not valid for 'elsewhere'"):
            await api.request("GET", SECRETS)


@pytest.mark.parametrize(
    ("serve", "status", "reason"),
    [
        pytest.param(replying(b"<html>"), 200, "InvalidReply", id="a page"),
        pytest.param(replying(b"[]"), 200, "InvalidReply", id="a list"),
        pytest.param(replying(b"\xff"), 200, "InvalidReply", id="no text"),
        pytest.param(replying(b"[" * 100_000), 200, "InvalidReply", id="nothing but brackets"),
        pytest.param(
            replying(b"<html>", status="503 Oh"), 503, "ServiceUnavailable", id="a proxy's page"
        ),
        pytest.param(replying(b"", status="302 Found"), 302, "Found", id="a redirect"),
        pytest.param(replying(b"{", length=9), 0, "ConnectionFailed", id="a reply cut short"),
    ],
)
async def test_request_rejects_a_reply_that_is_not_an_object(
    serve: Serve, status: int, reason: str, tmp_path: Path
) -> None:
    async with serving(serve, tmp_path) as api:
        with pytest.raises(ApiError) as caught:
            await api.request("GET", "/api")

    assert (caught.value.http_status, caught.value.reason) == (status, reason)
    assert "html" not in str(caught.value)


async def test_request_truncates_a_long_error_message(tmp_path: Path) -> None:
    body = json.dumps({"kind": "Status", "reason": "Invalid", "message": "x" * 1000}).encode()
    async with serving(replying(body, status="422 No"), tmp_path) as api:
        with pytest.raises(ApiError) as caught:
            await api.request("GET", "/api")

    assert caught.value.message == "x" * 300


async def test_request_has_status_0_when_the_connection_is_refused(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    server = f"http://127.0.0.1:{unused_tcp_port}"
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server)
    async with contextlib.aclosing(await client.connect(kubeconfig, None)) as api:
        with pytest.raises(ApiError) as caught:
            await api.request("GET", "/api")

    assert (caught.value.http_status, caught.value.reason) == (0, "ConnectionFailed")
    assert isinstance(caught.value.__cause__, aiohttp.ClientError)


async def test_request_times_out_when_the_server_does_not_reply(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent, tmp_path) as api:
        with pytest.raises(ApiError) as caught:
            await api.request("GET", "/api", timeout=SOON)

    assert (caught.value.http_status, caught.value.reason) == (0, "Timeout")


async def test_requests_at_the_same_time_share_a_few_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECTION_PATIENCE", LONG)
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while True:
            await replying(b"{}")(reader, writer)

    async with serving(serve, tmp_path) as api:
        await asyncio.gather(*(api.request("GET", "/api") for _ in range(5 * client.CONNECTIONS)))
    assert opened <= client.CONNECTIONS


async def test_requests_that_hang_do_not_hold_up_others(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/hang" in await reader.readuntil(b" HTTP/"):
            await reader.read()
        else:
            await replying(b"{}")(reader, writer)

    async with serving(serve, tmp_path) as api:
        hanging = [
            asyncio.create_task(api.request("GET", "/hang", timeout=timedelta(hours=1)))
            for _ in range(3 * client.CONNECTIONS)
        ]
        assert await api.request("GET", "/api") == {}
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        await asyncio.wait(hanging)


def streaming(*pieces: bytes, end: Callable[[asyncio.StreamReader], Awaitable[object]]) -> Serve:
    """Send each piece as a chunk, then wait for `end` and cut the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)  # so that the pieces do not arrive as one
        await end(reader)

    return serve


async def at_once(_: asyncio.StreamReader) -> None:
    return


async def test_watch_joins_events_from_arbitrary_chunks(tmp_path: Path) -> None:
    long = json.dumps({"n": "☃" * 1_000_000}, ensure_ascii=False).encode()
    pieces = (b'{"n":', b'1}\n{"n":2}\n' + long[:1_500_001], long[1_500_001:] + b"\n", b"")
    async with serving(streaming(*pieces, end=at_once), tmp_path) as api:
        seen = await collect(api.watch("/api", query=[], inactivity=LONG))

    assert seen == [{"n": 1}, {"n": 2}, {"n": "☃" * 1_000_000}]


async def test_watch_raises_when_the_connection_is_cut(tmp_path: Path) -> None:
    async with serving(streaming(b'{"n":1}\n{"n":', end=at_once), tmp_path) as api:
        events = api.watch("/api", query=[], inactivity=LONG)
        assert await anext(events) == {"n": 1}
        with pytest.raises(ApiError) as caught:
            await anext(events)

    assert (caught.value.http_status, caught.value.reason) == (0, "ConnectionFailed")


async def test_watch_times_out_and_closes_when_nothing_arrives(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def until_closed(reader: asyncio.StreamReader) -> None:
        await reader.read()
        closed.set()

    async with serving(streaming(b'{"n":1}\n', end=until_closed), tmp_path) as api:
        with pytest.raises(ApiError) as caught:
            await collect(api.watch("/api", query=[], inactivity=SOON))
        await asyncio.wait_for(closed.wait(), 2)

    assert (caught.value.http_status, caught.value.reason) == (0, "Timeout")


async def test_watch_closes_its_connection_when_it_is_closed(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def until_closed(reader: asyncio.StreamReader) -> None:
        await reader.read()
        closed.set()

    async with serving(streaming(b'{"n":1}\n', end=until_closed), tmp_path) as api:
        events = api.watch("/api", query=[], inactivity=LONG)
        async with contextlib.aclosing(events):
            assert await anext(events) == {"n": 1}
        await asyncio.wait_for(closed.wait(), 2)


async def test_watch_raises_on_a_line_that_is_not_json(tmp_path: Path) -> None:
    async with serving(streaming(b"<html>\n", end=at_once), tmp_path) as api:
        with pytest.raises(ApiError) as caught:
            await collect(api.watch("/api", query=[], inactivity=LONG))

    assert (caught.value.http_status, caught.value.reason) == (200, "InvalidReply")


async def test_token_file_is_reread_and_kept_when_it_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heads = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await head(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()

    token = tmp_path / "renewed"
    token.write_text("one\n")
    async with serving(serve, tmp_path, {"tokenFile": str(token)}, timing=RELOAD_EACH_TIME) as api:
        await api.request("GET", "/api")
        token.write_text("two\n")
        await api.request("GET", "/api")
        token.unlink()
        await api.request("GET", "/api")

    assert [sent["authorization"] for sent in heads] == ["Bearer one", "Bearer two", "Bearer two"]
    assert heads[0]["user-agent"] == "pinecone-token-operator"
    assert "Failed to reload credentials" in caplog.text


@pytest.mark.parametrize("renewed", [True, False], ids=["renewed", "the same"])
async def test_token_file_is_reread_once_after_a_401(tmp_path: Path, *, renewed: bool) -> None:
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = await head(reader)
        body = await reader.readexactly(int(sent["content-length"]))
        seen.append((sent["authorization"], json.loads(body)))
        status = "200 OK" if sent["authorization"] == "Bearer two" else "401 No"
        end = "Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        writer.write(f"HTTP/1.1 {status}\r\n{end}".encode())
        await writer.drain()

    token = tmp_path / "renewed"
    token.write_text("one\n")
    async with serving(serve, tmp_path, {"tokenFile": str(token)}, timing=RELOAD_ON_401) as api:
        if renewed:
            token.write_text("two\n")
            await api.request("POST", "/api", body={"a": 1})
        else:
            with pytest.raises(ApiError) as caught:
                await api.request("POST", "/api", body={"a": 1})
            assert caught.value.http_status == 401

    tokens = ["Bearer one", "Bearer two"] if renewed else ["Bearer one"]
    assert seen == [(each, {"a": 1}) for each in tokens]


async def test_token_file_is_not_reread_when_it_was_just_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = tmp_path / "renewed"
    token.write_text("one")
    refuse = replying(b"{}", status="401 No")
    async with serving(refuse, tmp_path, {"tokenFile": str(token)}) as api:
        token.unlink()  # so that reading it again would be logged
        with pytest.raises(ApiError, match="401"):
            await api.request("GET", "/api")

    assert "Failed to reload" not in caplog.text


@pytest.mark.parametrize("inline", [True, False], ids=["in the kubeconfig", "in files"])
async def test_client_certificate_authenticates(tmp_path: Path, *, inline: bool) -> None:
    names = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names.append(writer.get_extra_info("peercert")["subject"][0][0][1])
        await replying(b"{}")(reader, writer)

    make_certificates(tmp_path)
    write_client_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "leaf.pem", tmp_path / "leaf.key")
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(tmp_path / "client.pem")
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    if inline:
        user = {
            "client-certificate-data": base64.b64encode(certificate.read_bytes()).decode(),
            "client-key-data": base64.b64encode(key.read_bytes()).decode(),
        }
    trust = {"certificate-authority": str(tmp_path / "ca.pem")}
    async with serving(serve, tmp_path, user, tls, trust) as api:
        await api.request("GET", "/api")

    assert names == ["operator"]


async def test_exec_plugin_provides_the_token(tmp_path: Path) -> None:
    heads = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await head(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    version = "client.authentication.k8s.io/v1"
    credential = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": "plugged"}}
    user = {
        "exec": {
            "apiVersion": version,
            "command": "echo",
            "args": [json.dumps(credential)],
            "interactiveMode": "Never",
        }
    }
    async with serving(serve, tmp_path, user) as api:
        await api.request("GET", "/api")

    assert heads[0]["authorization"] == "Bearer plugged"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(None, "FileNotFoundError", id="no file"),
        pytest.param("", "TypeError", id="an empty file"),
        pytest.param("token: 'quoted", "ScannerError", id="no YAML"),
        pytest.param("contexts: []\ncurrent-context: a", "ConfigException", id="no such context"),
    ],
)
async def test_connect_does_not_quote_an_unusable_kubeconfig(
    content: str | None, error: str, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ApiError) as caught:
        await client.connect(path, None)

    assert caught.value.reason == "NotConfigured"
    assert f"kubeconfig {path} cannot be used ({error})" in caught.value.message
    assert "quoted" not in str(caught.value)


async def test_connect_names_both_sources_when_neither_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(
        ApiError, match=r"KUBERNETES_SERVICE_PORT is not set.*missing cannot be used"
    ):
        await client.connect(None, None)


@pytest.mark.parametrize(
    ("server", "no_proxy", "proxied"),
    [
        pytest.param("https://api.example.com", "", True, id="a name"),
        pytest.param("https://api.example.com", ".example.com", False, id="a domain"),
        pytest.param("https://10.96.0.1:443", "", True, id="an address"),
        pytest.param("https://10.96.0.1:443", "svc, 10.96.0.0/12", False, id="a network"),
        pytest.param("https://127.0.0.1:6443", "", False, id="this machine"),
    ],
)
async def test_connect_uses_the_proxy_of_the_environment(
    server: str, no_proxy: str, *, proxied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server)
    async with contextlib.aclosing(await client.connect(kubeconfig, None)) as api:
        assert api.proxy == ("http://proxy.example.com:3128" if proxied else None)


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        pytest.param(
            "socks5://user:hunter2@127.0.0.1:1080", "SOCKS proxies are not supported", id="socks"
        ),
        pytest.param("http://user:hun/hunter2@proxy:1", "not a proxy URL", id="stray slash"),
        pytest.param("127.0.0.1:3128", "http://127.0.0.1:3128", id="without a scheme"),
        pytest.param("http://127.0.0.1:3128", "http://127.0.0.1:3128", id="http"),
    ],
)
async def test_connect_rejects_a_proxy_that_it_cannot_use(
    proxy: str, expected: str, tmp_path: Path
) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", "https://example.com")
    config = yaml.safe_load(kubeconfig.read_text())
    config["clusters"][0]["cluster"]["proxy-url"] = proxy
    kubeconfig.write_text(yaml.safe_dump(config))
    if not expected.startswith("http"):
        with pytest.raises(ApiError, match=expected) as caught:
            await client.connect(kubeconfig, None)
        assert caught.value.reason == "NotConfigured"
        assert "hunter2" not in str(caught.value)
    else:
        async with contextlib.aclosing(await client.connect(kubeconfig, None)) as api:
            assert api.proxy == expected


def list_page(items: list[Any], token: str = "") -> bytes:
    return json.dumps({"metadata": {"continue": token}, "items": items}).encode()


class Lists:
    """A server of one long list, a page at a time, that may be slow and heavy.

    Attributes:
        limits: the requested page sizes.
    """

    def __init__(self, objects: int, *, size: int = 1, slow_above: int = 10_000) -> None:
        self.limits: list[int] = []
        self._objects = objects
        self._size = size
        self._slow_above = slow_above

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n")).decode()
        await reader.readuntil(b"\r\n\r\n")
        query = dict(yarl.URL(line.split()[1]).query)
        limit, start = int(query["limit"]), int(query.get("continue", "0"))
        self.limits.append(limit)
        if limit > self._slow_above:
            await reader.read()  # until the client gives up
            return
        end = min(start + limit, self._objects)
        more = str(end) if end < self._objects else ""
        body = list_page([{"n": each, "x": "x" * self._size} for each in range(start, end)], more)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()


async def numbers(api: client.Api) -> list[int]:
    return [each["n"] async for page in api.pages("/api") for each in page["items"]]


async def test_list_of_small_objects_takes_ever_larger_pages(tmp_path: Path) -> None:
    lists = Lists(2000)
    async with serving(lists, tmp_path) as api:
        assert await numbers(api) == list(range(2000))
        assert lists.limits == [50, *[100] * 20]
        await numbers(api)
    assert lists.limits[21:] == [100] * 20  # it has learned


async def test_list_of_large_objects_takes_small_pages(tmp_path: Path) -> None:
    lists = Lists(70, size=500_000)
    async with serving(lists, tmp_path) as api:
        assert await numbers(api) == list(range(70))
    assert lists.limits == [50, 8, 8, 8]


async def test_list_takes_smaller_pages_when_the_server_is_slow(tmp_path: Path) -> None:
    lists = Lists(30, slow_above=20)
    async with serving(lists, tmp_path, timing=Timing(page_inactivity=SOON)) as api:
        assert await numbers(api) == list(range(30))
    assert lists.limits == [50, 12, 48, 12, 48, 12]


async def test_list_fails_when_even_small_pages_do_not_arrive(tmp_path: Path) -> None:
    lists = Lists(30, slow_above=0)
    async with serving(lists, tmp_path, timing=Timing(page_inactivity=SOON)) as api:
        with pytest.raises(ApiError) as caught:
            await numbers(api)
    assert caught.value.is_timeout
    assert lists.limits == [50, 12, 5]


async def test_list_may_take_longer_than_any_pause(tmp_path: Path) -> None:
    body = list_page([{"n": each} for each in range(20)])

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        for place in range(0, len(body), 20):
            writer.write(body[place : place + 20])
            await writer.drain()
            await asyncio.sleep(SOON.total_seconds() / 5)

    arrivals = []
    async with serving(drip, tmp_path, timing=Timing(page_inactivity=SOON)) as api:
        pages = api.pages("/api", received=lambda: arrivals.append(time.monotonic()))
        async for page in pages:
            assert len(page["items"]) == 20
    assert arrivals[-1] - arrivals[0] > SOON.total_seconds() * 2


async def test_list_grows_its_pages_after_it_could_not_be_continued(tmp_path: Path) -> None:
    limits = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n")).decode()
        await reader.readuntil(b"\r\n\r\n")
        query = yarl.URL(line.split()[1]).query
        limits.append(int(query["limit"]))
        heavy = [{"n": each, "x": "x" * 100_000} for each in range(50)]
        status, body = "200 OK", list_page(heavy, "more")
        if "continue" in query:
            status, body = "410 Gone", b'{"kind": "Status", "reason": "Expired"}'
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    async with serving(serve, tmp_path) as api:
        for _ in range(2):
            with pytest.raises(ApiError) as caught:
                await numbers(api)
            assert caught.value.gone
    assert limits == [50, 41, 164, 41]


@pytest.mark.parametrize(
    ("status", "body", "observed"),
    [
        pytest.param("200 OK", b'{"kind": "Secret"}', True, id="an object"),
        pytest.param("404 Not Found", b'{"kind": "Status"}', True, id="a Status"),
        pytest.param("503 Busy", b"<html>", False, id="a load balancer's page"),
        pytest.param("200 OK", b"<html>", False, id="a login page"),
        pytest.param("502 Bad Gateway", b'{"error": "upstream"}', False, id="a proxy's JSON"),
    ],
)
async def test_request_passes_on_the_date_of_the_api_server_only(
    status: str, body: bytes, tmp_path: Path, *, observed: bool
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        lines = f"HTTP/1.1 {status}\r\nDate: now\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(lines.encode() + body)
        await writer.drain()

    dates: list[str] = []
    async with serving(serve, tmp_path, observe_date=dates.append) as api:
        with contextlib.suppress(ApiError):
            await api.request("GET", "/api")
    assert dates == (["now"] if observed else [])


async def test_new_connections_trust_the_ca_after_its_rotation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for authority in ("old", "new"):
        make_certificates(tmp_path / authority)
    trusted = tmp_path / "ca.crt"
    trusted.write_bytes((tmp_path / "old" / "ca.pem").read_bytes())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "old" / "leaf.pem", tmp_path / "old" / "leaf.key")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()

    trust = {"certificate-authority": str(trusted)}
    async with serving(serve, tmp_path, tls=tls, trust=trust, timing=RELOAD_ON_401) as api:
        await api.request("GET", "/api")
        before = api.tls
        # The server first, so that the kubelet is late.
        tls.load_cert_chain(tmp_path / "new" / "leaf.pem", tmp_path / "new" / "leaf.key")
        with pytest.raises(ApiError, match="certificate verify failed"):
            await api.request("GET", "/api")
        trusted.write_text("half a certificate")
        with pytest.raises(ApiError, match="certificate verify failed"):
            await api.request("GET", "/api")
        assert "Failed to reload credentials for the API server (SSLError)" in caplog.text
        trusted.write_bytes((tmp_path / "new" / "ca.pem").read_bytes())
        await api.request("GET", "/api")
        assert api.tls is not before
        # The former CA is not trusted any more.
        tls.load_cert_chain(tmp_path / "old" / "leaf.pem", tmp_path / "old" / "leaf.key")
        with pytest.raises(ApiError, match="certificate verify failed"):
            await api.request("GET", "/api")
