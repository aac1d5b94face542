"""API server client for short commands: blocking, one connection, only the standard library."""

import base64
import http.client
import json
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlencode, urlsplit

from pinecone_token_operator.config import proxies
from pinecone_token_operator.config.validators import InvalidValue
from pinecone_token_operator.errors import ApiError, SettingsInvalid
from pinecone_token_operator.kube.interfaces import Body, Query
from pinecone_token_operator.kube.media_types import JSON
from pinecone_token_operator.kube.responses import error_from_reply, parse_object
from pinecone_token_operator.kubectl_plugin.credentials import (
    Credentials,
    find_credentials,
    read_authority,
)
from pinecone_token_operator.kubectl_plugin.kubeconfig import Access

TIMEOUT: Final = timedelta(seconds=30)
PAGE: Final = 500
_PORTS: Final = {"https": 443, "http": 80}


def connect(access: Access, environ: Mapping[str, str]) -> "ApiServer":
    """Return a client; nothing is sent, but an exec plugin is run.

    Raises:
        SettingsInvalid: the kubeconfig cannot be used.
    """
    url = urlsplit(access.server)
    try:
        given = access.cluster.get("proxy-url")
        proxy = (
            proxies.parse_url(str(given))
            if given
            else proxies.read(environ).for_api_server(access.server)
        )
    except InvalidValue as error:
        raise SettingsInvalid(f"the kubeconfig's proxy-url: {error}") from None
    if proxy is not None and (proxy.scheme != "http" or url.scheme != "https"):
        raise SettingsInvalid(
            f"the API server cannot be reached through {proxy.url}: only https servers behind an"
            " http proxy are supported"
        )
    credentials = find_credentials(access, environ)
    tls = _tls_context(access, credentials) if url.scheme == "https" else None
    name = str(access.cluster.get("tls-server-name") or url.hostname or "")
    return ApiServer(url, tls, name, proxy, credentials)


class ApiServer:
    """The API server.

    Args:
        url: its URL; a path is put in front of each request's.
        tls: the trusted CA and the client's certificate; None for plain http.
        tls_name: the name that the server's certificate must have.
        proxy: the proxy on the way, if there is one.
        credentials: how to authenticate.
    """

    def __init__(
        self,
        url: SplitResult,
        tls: ssl.SSLContext | None,
        tls_name: str,
        proxy: proxies.Proxy | None,
        credentials: Credentials,
    ) -> None:
        self._url = url
        self._credentials = credentials
        self._open: Callable[[], http.client.HTTPConnection] = partial(
            _open, url, tls, tls_name, proxy
        )
        self._connection: http.client.HTTPConnection | None = None
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the API server's time, as of its latest reply."""
        return datetime.now(UTC) + self._ahead

    @property
    def ahead(self) -> timedelta:
        """How far the API server's clock is ahead of this machine's, in whole seconds."""
        return self._ahead

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        query: Query = (),
        content_type: str = JSON,
        accept: str = JSON,
    ) -> dict[str, Any]:
        """Make one request and return the reply's object.

        Raises:
            ApiError: the API server refused, did not answer in time, or gave no JSON object.
        """
        headers = {"Accept": accept, "User-Agent": "kubectl-pinecone_token"}
        if self._credentials.authorization:
            headers["Authorization"] = self._credentials.authorization
        if body is not None:
            headers["Content-Type"] = content_type
        data = None if body is None else json.dumps(body).encode()
        target = f"{self._url.path}{path}" + (f"?{urlencode(list(query))}" if query else "")
        try:
            status, date, content = self._send(method, target, data, headers)
        except TimeoutError:
            self.close()
            raise ApiError(0, "Timeout", f"{self._server} did not answer in time") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            # The text of an HTTPException may quote the reply.
            cause = error if isinstance(error, OSError) else type(error).__name__
            raise ApiError(
                0, "ConnectionFailed", f"no connection to {self._server}: {cause}"
            ) from None
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise error_from_reply(status, content)
        self._observe(date)
        return parse_object(status, content)

    def list(self, path: str, query: Query = (), accept: str = JSON) -> Iterator[dict[str, Any]]:
        """Yield the objects of a list, page by page.

        Raises:
            ApiError: as `request` does. What was yielded before is then only a part of the list.
        """
        token = ""
        while True:
            paging = [("limit", str(PAGE)), *([("continue", token)] if token else [])]
            page = self.request("GET", path, query=[*query, *paging], accept=accept)
            yield from page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    @property
    def _server(self) -> str:
        return f"{self._url.hostname}:{self._url.port or _PORTS[self._url.scheme]}"

    def _send(
        self, method: str, target: str, data: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        is_new = self._connection is None
        if self._connection is None:
            self._connection = self._open()
        try:
            self._connection.request(method, target, data, dict(headers))
            response = self._connection.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):
            if is_new:
                raise
            self.close()  # the server closed an idle connection
            return self._send(method, target, data, headers)
        return response.status, response.headers.get("Date", ""), response.read()

    def _observe(self, date: str) -> None:
        try:
            seconds = (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return
        # The header has whole seconds, so up to one second is ignored.
        self._ahead = timedelta(seconds=round(seconds)) if abs(seconds) > 1 else timedelta()


class _TLSConnection(http.client.HTTPConnection):
    """Like `HTTPSConnection`, but the certificate may have another name than the host."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext, name: str) -> None:
        super().__init__(host, port, timeout=TIMEOUT.total_seconds())
        self._tls = tls
        self._name = name

    def connect(self) -> None:
        """Connect, through the proxy if there is one."""
        super().connect()
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def _open(
    url: SplitResult, tls: ssl.SSLContext | None, tls_name: str, proxy: proxies.Proxy | None
) -> http.client.HTTPConnection:
    host, port = url.hostname or "", url.port or _PORTS[url.scheme]
    if tls is None:
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT.total_seconds())
    if proxy is None:
        return _TLSConnection(host, port, tls, tls_name)
    connection = _TLSConnection(proxy.host, proxy.port, tls, tls_name)
    headers = {}
    if proxy.username:
        pair = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
        headers["Proxy-Authorization"] = f"Basic {pair}"
    connection.set_tunnel(host, port, headers)
    return connection


def _tls_context(access: Access, credentials: Credentials) -> ssl.SSLContext:
    authority = read_authority(access.cluster)
    insecure = access.cluster.get("insecure-skip-tls-verify") is True
    try:
        if insecure and not authority:  # without the system's CAs, which take long to load
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        else:
            tls = ssl.create_default_context(cadata=authority.decode("ascii") or None)
    except ValueError:  # an ssl.SSLError is an OSError
        raise SettingsInvalid("the kubeconfig's CA is not in PEM format") from None
    except OSError:
        raise SettingsInvalid("the kubeconfig's CA has no usable certificate") from None
    # CAs of real clusters lack extensions that Python 3.13 and later require:
    # https://github.com/kubernetes-client/python/issues/2394
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if insecure:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    if credentials.certificate:
        _load_certificate(tls, credentials)
    return tls


def _load_certificate(tls: ssl.SSLContext, credentials: Credentials) -> None:
    # OpenSSL reads them from files only; the directory is readable by nobody else.
    with tempfile.TemporaryDirectory(prefix="kubectl-pinecone-token-") as directory:
        certificate, key = Path(directory, "certificate"), Path(directory, "key")
        certificate.write_bytes(credentials.certificate)
        key.write_bytes(credentials.key)
        try:
            tls.load_cert_chain(certificate, key)
        except (OSError, ValueError):
            raise SettingsInvalid("the kubeconfig's client certificate cannot be used") from None
