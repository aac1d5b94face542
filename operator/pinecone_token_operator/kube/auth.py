"""Where the API server is and how to authenticate."""

import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

import aiohttp
from yarl import URL

from pinecone_token_operator.config import proxies
from pinecone_token_operator.config.validators import InvalidValue
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.pod import DIRECTORY, NotInPodError, PodConfiguration
from pinecone_token_operator.kube.timing import Timing

RELOAD_TIMEOUT: Final = timedelta(seconds=10)

logger = logging.getLogger(__name__)

Reload = Callable[[], Awaitable[None]]
"""Reads credentials into a `Configuration` again."""


class Configuration(Protocol):
    """Where the API server is and how to authenticate, by the Kubernetes client's names."""

    @property
    def host(self) -> str:
        """The API server's URL, without a slash at the end."""
        ...

    @property
    def proxy(self) -> str | None:
        """The URL of the proxy on the way."""
        ...

    @property
    def verify_ssl(self) -> bool:
        """Whether the API server's certificate is verified."""
        ...

    @property
    def tls_server_name(self) -> str | None:
        """The name to expect in it, if it is not that of the URL."""
        ...

    @property
    def ssl_ca_cert(self) -> str | None:
        """The path of the trusted CA."""
        ...

    @property
    def ca_cert_data(self) -> str | bytes | None:
        """The trusted CA."""
        ...

    @property
    def cert_file(self) -> str | None:
        """The path of the client's certificate."""
        ...

    @property
    def key_file(self) -> str | None:
        """The path of its key."""
        ...

    async def get_api_key_with_prefix(self, identifier: str) -> str | None:
        """Return the Authorization header, given `BearerToken`; None means none."""
        ...


async def find_access(kubeconfig: Path | None, context: str | None, timing: Timing) -> "Access":
    """Find the API server and the credentials for it; no request is made.

    Args:
        kubeconfig: the file to use; None means the pod's service account if neither a file nor a
            context is given, else what kubectl would use.
        context: the kubeconfig's context; None means its current one.
        timing: how old credentials and CA may get.

    Raises:
        ApiError: nothing usable was found; the reason is `NotConfigured`.
    """
    no_pod = ""
    if kubeconfig is None and context is None:
        try:
            pod = PodConfiguration(os.environ)
            return Access(pod, pod.reload, timing)
        except NotInPodError as error:
            no_pod = f"This is not a pod with a service account: {error} "
        except (OSError, ValueError) as error:  # also ssl.SSLError
            raise ApiError(
                0,
                "NotConfigured",
                f"The pod's service account in {DIRECTORY} cannot be used "
                f"({type(error).__name__}); check the files that are mounted there.",
            ) from None
    source = str(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
    from pinecone_token_operator.kube.kubeconfig import load  # noqa: PLC0415 - slow and large

    try:
        return Access(*await load(source, context), timing)
    except ApiError:
        raise
    except Exception as error:  # noqa: BLE001 - a malformed kubeconfig raises almost anything
        # Neither its text nor the cause: both can quote the user's entry, with its token.
        raise ApiError(
            0,
            "NotConfigured",
            f"{no_pod}The kubeconfig {source} cannot be used ({type(error).__name__}). "
            "Run in a pod that has a service account, or pass a kubeconfig that kubectl can use.",
        ) from None


class Access:
    """The way to the API server.

    Must be created inside a running event loop.

    Args:
        configuration: where the API server is and how to authenticate, filled in.
        reload: reads the credentials into the configuration again.
        timing: how old credentials and CA may get.

    Attributes:
        origin: the scheme, host and port that the credentials are for.
        tls: the trusted CA and the client's certificate. It is another object once the CA's file
            has changed: a context cannot stop trusting a CA.
        proxy: the URL of the proxy on the way, if there is one.
    """

    def __init__(self, configuration: Configuration, reload: Reload, timing: Timing) -> None:
        self._configuration = configuration
        self._reload = reload
        self._timing = timing
        self._loaded_at = asyncio.get_running_loop().time()
        self.origin = URL(configuration.host).origin()
        self._authority = _read_authority(configuration)
        self.tls = _tls_context(configuration)
        self.proxy = _proxy(configuration)

    @property
    def server(self) -> str:
        """The API server's URL, without a slash at the end."""
        return self._configuration.host

    async def authorize(self, request: aiohttp.ClientRequest, *, refused: bool = False) -> bool:
        """Add credentials that are not too old to a request.

        Args:
            request: gets the header.
            refused: whether it was answered 401 with the header that it has.

        Returns:
            Whether that changed the header.
        """
        request.server_hostname = self._configuration.tls_server_name
        await self._load(self._timing.reload_refused if refused else self._timing.reload_every)
        token = await self._configuration.get_api_key_with_prefix("BearerToken")
        authorization = token.strip() if token else None
        if not authorization or authorization == request.headers.get("Authorization"):
            return False
        request.headers["Authorization"] = authorization
        return True

    async def reload_trust(self) -> None:
        """Read the CA again after a server's certificate was not trusted; see `tls`."""
        await self._load(self._timing.reload_refused)

    def add_authority(self, trust: ssl.SSLContext) -> None:
        """Add the cluster's CA to a trust; no-op if it has it already."""
        configuration = self._configuration
        if configuration.ssl_ca_cert or configuration.ca_cert_data:
            trust.load_verify_locations(
                cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data
            )

    async def _load(self, max_age: timedelta) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._loaded_at < max_age.total_seconds():
            return
        # Before the first await, so that of many requests one reloads.
        self._loaded_at = now
        try:
            async with asyncio.timeout(RELOAD_TIMEOUT.total_seconds()):  # plugins may hang
                await self._reload()
            authority = _read_authority(self._configuration)
            if authority == self._authority:
                _load_client_certificate(self._configuration, self.tls)
            else:
                self.tls = _tls_context(self._configuration)
                self._authority = authority
                logger.info("The cluster's CA has changed; new connections trust the new CA")
        except Exception as error:  # noqa: BLE001 - as in `find_access`
            # What is loaded may still be valid; if not, the API server will say so.
            logger.warning(
                "Failed to reload credentials for the API server (%s); keeping the previous ones",
                type(error).__name__,
            )


def _read_authority(configuration: Configuration) -> tuple[bytes, object]:
    """Return the trusted CA as it is stored now, to compare."""
    path = configuration.ssl_ca_cert
    return Path(path).read_bytes() if path else b"", configuration.ca_cert_data


def _tls_context(configuration: Configuration) -> ssl.SSLContext:
    tls = ssl.create_default_context(
        cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data
    )
    # CAs of real clusters lack extensions that Python 3.13 and later require:
    # https://github.com/kubernetes-client/python/issues/2394
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    _load_client_certificate(configuration, tls)
    return tls


def _load_client_certificate(configuration: Configuration, tls: ssl.SSLContext) -> None:
    if configuration.cert_file:
        tls.load_cert_chain(configuration.cert_file, configuration.key_file)


def _proxy(configuration: Configuration) -> str | None:
    """Return the URL of the proxy on the way, with its credentials.

    Raises:
        ApiError: the kubeconfig's proxy cannot be used; the reason is `NotConfigured`.
    """
    if not configuration.proxy:
        found = proxies.read(os.environ).for_api_server(configuration.host)
        return found.url_with_credentials if found else None
    try:
        return proxies.parse_url(configuration.proxy).url_with_credentials
    except InvalidValue as error:
        raise ApiError(
            0, "NotConfigured", f"The proxy-url in the kubeconfig cannot be used: {error}"
        ) from None
