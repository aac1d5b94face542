"""The CA certificates that the token endpoint and an https proxy are verified by."""

import logging
import os
import ssl
from pathlib import Path

import httpx

logger = logging.getLogger(__name__)


class Trust:
    """An SSL context that follows changes of the CA bundle.

    A bundle mounted from a ConfigMap changes while the operator runs, for example when a company's
    CA is replaced.

    Args:
        ca_bundle: a PEM file of the CA certificates to trust.
        ca_directory: directories of CA certificates to trust, as OpenSSL reads them. Without a file
            and a directory, public CAs are trusted.

    Raises:
        OSError: the file cannot be read or holds no certificates.
    """

    def __init__(self, ca_bundle: Path | None, ca_directory: str | None) -> None:
        self._ca_bundle = ca_bundle
        self._ca_directory = ca_directory
        self._version = self._read_version()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return the context; another one once the bundle has changed."""
        version = self._read_version()
        if version is not None and version != self._version:
            self._version = version
            try:
                self._context = self._load()
            except OSError as error:  # also ssl.SSLError
                logger.warning(
                    "Failed to reload the CA bundle %s (%s); keeping the previous certificates",
                    self._ca_bundle,
                    type(error).__name__,
                )
            else:
                logger.info("Reloaded the CA bundle %s", self._ca_bundle)
        return self._context

    def _read_version(self) -> tuple[int, int, int] | None:
        if self._ca_bundle is None:
            return None
        try:
            found = os.stat(self._ca_bundle)  # noqa: PTH116 - at every exchange, and faster
        except OSError:
            return None  # it is being replaced
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> ssl.SSLContext:
        if self._ca_bundle is None and self._ca_directory is None:
            return httpx.create_ssl_context(trust_env=False)
        context = ssl.create_default_context(cafile=self._ca_bundle, capath=self._ca_directory)
        # The administrator trusts these. Certificates of company CAs often lack extensions
        # that Python 3.13 and later insist on, and a bundle may hold an intermediate CA alone.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context
