"""The operator's settings, validated. `cli` reads them from flags and environment variables."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pinecone_token_operator.config.proxies import Proxy
from pinecone_token_operator.config.shard import Shard


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where tokens come from.

    Attributes:
        token_url: the token endpoint; https, or http on a loopback address.
        audience: the exchange's `audience`.
        api_version: the exchange's `X-Pinecone-Api-Version`.
        ca_bundle: a PEM file of the CA certificates to trust.
        ca_directory: a directory of CA certificates to trust, with OpenSSL's hashed names; several
            are separated by colons. Without a file and a directory, public CAs are trusted.
        proxy: the proxy to connect through.
    """

    token_url: str
    audience: str
    api_version: str
    ca_bundle: Path | None = None
    ca_directory: str | None = None
    proxy: Proxy | None = None


@dataclass(frozen=True, slots=True)
class LeaderElection:
    """The Lease that replicas share, and its timing.

    Attributes:
        name: the Lease's name.
        namespace: the Lease's namespace.
        lease_duration: how long a standby waits after the last observed renewal to take over.
        renew_deadline: how long the leader keeps retrying to renew before it steps down.
        retry_period: how often the leader renews.
    """

    name: str
    namespace: str
    lease_duration: timedelta
    renew_deadline: timedelta
    retry_period: timedelta


@dataclass(frozen=True, slots=True)
class ClusterTokens:
    """Settings of cluster-scoped tokens.

    Attributes:
        namespace: the cluster resource namespace, which has all their credentials.
    """

    namespace: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of `run`.

    Attributes:
        endpoint: where tokens come from.
        namespaces: the namespaces to watch; empty means all.
        kubeconfig: the kubeconfig to use outside a cluster.
        context: the kubeconfig's context; None means its current one.
        max_concurrent_exchanges: the maximum number of concurrent token requests.
        health_host: the address that probes and metrics listen on; empty means all.
        health_port: the port that probes and metrics listen on; 0 picks a free one.
        log_level: debug, info, warning or error.
        log_format: auto, json or text.
        resync_interval: how often all resources are listed and reconciled again.
        keep_tokens: how long a token stays cached, to restore a target without an exchange.
        leader_election: None disables leader election.
        shard: which of the resources this operator serves.
        cluster_tokens: None disables cluster-scoped tokens.
    """

    endpoint: Endpoint
    namespaces: tuple[str, ...]
    kubeconfig: Path | None
    context: str | None
    max_concurrent_exchanges: int
    health_host: str
    health_port: int
    log_level: str
    log_format: str
    resync_interval: timedelta
    keep_tokens: timedelta
    leader_election: LeaderElection | None
    shard: Shard
    cluster_tokens: ClusterTokens | None = None
