"""Where the API server is and how to authenticate; the only module that imports `kubernetes`."""

import asyncio
import ipaddress
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import Configuration
from yarl import URL

from pinecone_token_operator.errors import ApiError

# The kubelet renews a token when a fifth of its life is left, of ten minutes at the least.
RELOAD_EVERY: Final = timedelta(seconds=60)
# After a 401, credentials this old are read again: they may have been renewed before their time.
# Younger ones are not, or a plugin would run for each request while an account is locked.
RELOAD_REFUSED: Final = timedelta(seconds=5)
RELOAD_TIMEOUT: Final = timedelta(seconds=10)

logger = logging.getLogger(__name__)

Reload = Callable[[], Awaitable[None]]
"""Reads credentials into a `Configuration` again."""


async def find_access(kubeconfig: Path | None, context: str | None) -> "Access":
    """Find the API server and the credentials for it; no request is made.

    Args:
        kubeconfig: the file to use; None means the pod's service account if neither a file nor a
            context is given, else what kubectl would use.
        context: the kubeconfig's context; None means its current one.

    Raises:
        ApiError: nothing usable was found; the reason is `NotConfigured`.
    """
    # With its default, a kubeconfig without `server` would mean http://localhost.
    configuration = Configuration(host="")
    why_not_pod = ""
    source = str(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
    try:
        if kubeconfig is None and context is None:
            try:
                return Access(configuration, await _load_pod(configuration))
            except kube_config.ConfigException as error:
                why_not_pod = f"No service account of a pod is here: {error} "
        return Access(configuration, await _load_file(configuration, source, context))
    except Exception as error:  # noqa: BLE001 - a malformed kubeconfig raises about anything
        # Neither its text nor the cause: both can quote the user's entry, with its token.
        raise ApiError(
            0,
            "NotConfigured",
            f"{why_not_pod}The kubeconfig {source} cannot be used ({type(error).__name__}). "
            "Run in a pod that has a service account, or name a kubeconfig that kubectl can use.",
        ) from None


async def _load_pod(configuration: Configuration) -> Reload:
    async def reload() -> None:
        # Its own refreshing would fail a request while the kubelet replaces the file.
        kube_config.load_incluster_config(  # type: ignore[no-untyped-call]  # it has no types
            configuration, try_refresh_token=False
        )

    await reload()
    return reload


async def _load_file(configuration: Configuration, source: str, context: str | None) -> Reload:
    if not _any_file(source):
        raise FileNotFoundError(source)
    loader = await kube_config.load_kube_config(  # type: ignore[no-untyped-call]  # it has no types
        config_file=source,
        context=context,
        client_configuration=configuration,
        persist_config=False,
    )

    async def reload() -> None:
        # Runs an exec plugin or asks an OIDC issuer only when what they gave has expired.
        await loader.load_and_set(configuration)

    return reload


def _any_file(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)


class Access:
    """The way to the API server.

    Must be made inside a running event loop.

    Args:
        configuration: where the API server is and how to authenticate, filled in.
        reload: reads the credentials into the configuration again.

    Attributes:
        origin: the scheme, host and port that the credentials are for.
        tls: whom to trust, and the client's certificate.
        proxy: the URL of the proxy on the way, if there is one.
    """

    def __init__(self, configuration: Configuration, reload: Reload) -> None:
        self._configuration = configuration
        self._reload = reload
        self._loaded_at = asyncio.get_running_loop().time()
        self.origin = URL(configuration.host).origin()
        self.tls = ssl.create_default_context(
            cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data
        )
        # Authorities of real clusters lack extensions that Python 3.13 and later insist on:
        # https://github.com/kubernetes-client/python/issues/2394
        self.tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not configuration.verify_ssl:
            self.tls.check_hostname = False
            self.tls.verify_mode = ssl.CERT_NONE
        self._load_client_certificate()
        self.proxy: str | None = configuration.proxy or _proxy_for(configuration.host)

    @property
    def server(self) -> str:
        """The API server's URL, without a slash at the end."""
        host: str = self._configuration.host
        return host

    async def authorize(self, request: aiohttp.ClientRequest, *, refused: bool = False) -> bool:
        """Have a request authenticate, by credentials that are not too old.

        Args:
            request: gets the header.
            refused: whether it was answered 401 with what it has.

        Returns:
            Whether that changed the header.
        """
        request.server_hostname = self._configuration.tls_server_name
        authorization = await self._authorization(RELOAD_REFUSED if refused else RELOAD_EVERY)
        if not authorization or authorization == request.headers.get("Authorization"):
            return False
        request.headers["Authorization"] = authorization
        return True

    async def _authorization(self, max_age: timedelta) -> str | None:
        now = asyncio.get_running_loop().time()
        if now - self._loaded_at >= max_age.total_seconds():
            # Before the first await, so that of many requests one reloads.
            self._loaded_at = now
            try:
                async with asyncio.timeout(RELOAD_TIMEOUT.total_seconds()):  # plugins may hang
                    await self._reload()
                self._load_client_certificate()
            except Exception as error:  # noqa: BLE001 - as in `find_access`
                # What is known may still be good; if not, the API server will say so.
                logger.warning("Credentials cannot be read again: %s", type(error).__name__)
        value: str | None = await self._configuration.get_api_key_with_prefix("BearerToken")
        return value.strip() if value else None

    def _load_client_certificate(self) -> None:
        if self._configuration.cert_file:
            self.tls.load_cert_chain(self._configuration.cert_file, self._configuration.key_file)


def _proxy_for(server: str) -> str | None:
    """Return the proxy that the environment asks for, as Go programs would read it."""
    parts = urlsplit(server)
    host = parts.hostname or ""
    proxies = getproxies()
    if host == "localhost" or proxy_bypass(parts.netloc) or proxy_bypass(host):
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return proxies.get(parts.scheme)
    # `proxy_bypass` knows no networks, and a cluster's NO_PROXY usually names its services so.
    for entry in proxies.get("no", "").split(","):
        try:
            if address in ipaddress.ip_network(entry.strip(), strict=False):
                return None
        except ValueError:
            continue
    return None if address.is_loopback else proxies.get(parts.scheme)
