"""The sidecar's settings, validated. `cli.sidecar` reads them from flags and variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from pinecone_token_operator.config.proxies import Proxy
from pinecone_token_operator.config.settings import Endpoint

Address = tuple[str, int]
"""A host and a port; port 0 picks a free one."""


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """Credentials in two files, which are read again when they change."""

    client_id: Path
    client_secret: Path


@dataclass(frozen=True, slots=True)
class GivenCredentials:
    """Credentials from environment variables."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MountedToken:
    """The directory of a mounted target Secret, which an operator keeps fresh."""

    directory: Path


@dataclass(frozen=True, slots=True)
class Output:
    """Where the token's files are written.

    Attributes:
        directory: the directory.
        mode: of the files.
        template: further files, by name.
    """

    directory: Path
    mode: int
    template: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Webhook:
    """What is called after a renewal.

    Attributes:
        url: https, or http on a loopback address.
        proxy: the proxy to connect through.
    """

    url: str
    proxy: Proxy | None


@dataclass(frozen=True, slots=True)
class SidecarSettings:
    """The settings of `sidecar`.

    Attributes:
        endpoint: where tokens come from.
        source: the credentials to exchange, or a token that needs no exchange.
        output: the files to write.
        token_address: the loopback address of the token endpoint for applications.
        health_address: the address of probes and metrics.
        webhook: what is called after a renewal.
        refresh_before: the margin before expiry; None means a third of the lifetime.
        one_time: how long to try to get one token; None means to run until stopped.
        in_pod: whether Kubernetes runs this process.
        log_level: debug, info, warning or error.
        log_format: auto, json or text.
    """

    endpoint: Endpoint
    source: CredentialFiles | GivenCredentials | MountedToken
    output: Output | None
    token_address: Address | None
    health_address: Address | None
    webhook: Webhook | None
    refresh_before: timedelta | None
    one_time: timedelta | None
    in_pod: bool
    log_level: str
    log_format: str
