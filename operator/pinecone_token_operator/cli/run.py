"""`pinecone-token-operator run`: the operator."""

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pinecone_token_operator.cli import options, shared_options
from pinecone_token_operator.cli.options import Option
from pinecone_token_operator.config import validators
from pinecone_token_operator.config.settings import ClusterTokens, LeaderElection, Settings
from pinecone_token_operator.errors import SettingsInvalid

_VARIABLES: Final = """\
HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are honored, in lower case too. SOCKS proxies are
not supported.
"""

EXIT_CODES: Final = """\
exit codes:
  0  stopped by SIGTERM or SIGINT
  1  unexpected error
  2  invalid flag or environment variable
  3  no API server is configured: neither a pod's ServiceAccount nor a usable kubeconfig
  4  the Lease could not be renewed in time: another replica may be the leader
"""

logger = logging.getLogger(__name__)

_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_COMMAND: Final = options.Command(
    "run",
    (
        *shared_options.ENDPOINT,
        Option(
            "namespace",
            "NAME",
            validators.namespaces,
            "namespace to watch; repeat the flag or separate names with commas; default: all "
            "namespaces",
            repeatable=True,
        ),
        *shared_options.KUBERNETES,
        Option(
            "max-concurrent-exchanges",
            "N",
            validators.exchanges,
            f"maximum number of concurrent token requests, 1 to {validators.MAX_EXCHANGES}",
            # Enough for 80 tokens a second from an endpoint that takes 0.2 s. Once the CPU is
            # busy, more of them slow each other down, and a new resource among them too.
            default="16",
        ),
        Option(
            "health-address",
            "HOST:PORT",
            validators.address,
            "address to serve /livez, /readyz and /metrics on; without HOST all IPv4 and IPv6 "
            "addresses; put an IPv6 address in brackets; port 0 picks a free port",
            default=":8080",
        ),
        *shared_options.LOGGING,
        Option(
            "resync-interval",
            "DURATION",
            validators.duration("10s", "24h"),
            "how often all resources are listed and reconciled again, such as 90s, 10m or 1h30m; "
            "10s to 24h",
            default="10m",
        ),
        Option(
            "keep-tokens",
            "DURATION",
            validators.duration("0s", "24h"),
            "how long a token stays cached in memory, so that a deleted or modified target Secret "
            "is restored without another exchange, such as 20m; 0s turns the cache off; up to 24h",
            default="0s",
        ),
        Option(
            "shard",
            "INDEX/COUNT",
            validators.shard,
            "serve one of COUNT equal shards of the resources; INDEX starts at 0; each shard needs "
            "its own operator and has its own Lease",
            default="0/1",
        ),
        Option(
            "enable-cluster-access-tokens",
            "",
            validators.boolean,
            "also serve ClusterPineconeAccessTokens, which copy one token to many namespaces",
            default="false",
            switch=True,
        ),
        Option(
            "cluster-resource-namespace",
            "NAME",
            validators.dns_label,
            "namespace of the credentials of ClusterPineconeAccessTokens; by default the pod's own",
        ),
        Option(
            "leader-elect",
            "",
            validators.boolean,
            "enable leader election, so that one of several replicas is active",
            default="false",
            switch=True,
        ),
        Option(
            "leader-election-lease-name",
            "NAME",
            validators.dns_name,
            "name of the Lease; a shard appends its index",
            default="pinecone-token-operator",
        ),
        Option(
            "leader-election-namespace",
            "NAME",
            validators.dns_label,
            "namespace of the Lease; by default the pod's own",
        ),
        Option(
            "leader-election-lease-duration",
            "DURATION",
            validators.duration("2s", "1h"),
            "how long a standby waits after the last renewal it has seen before it takes over; "
            "2s to 1h",
            default="15s",
        ),
        Option(
            "leader-election-renew-deadline",
            "DURATION",
            validators.duration("1s", "1h"),
            "how long the leader keeps retrying to renew the Lease before it steps down; must be "
            "less than the lease duration",
            default="10s",
        ),
        Option(
            "leader-election-retry-period",
            "DURATION",
            validators.duration("1s", "1h"),
            "how often the leader renews the Lease; at most half the renew deadline",
            default="2s",
        ),
    ),
    description="Keep a fresh Pinecone access token in the Secret of every PineconeAccessToken.",
    epilog=f"{_VARIABLES}\n{EXIT_CODES}",
)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the operator until it is stopped, and return the exit code.

    Raises:
        SettingsInvalid: in one line, what is wrong and what is accepted.
        SystemExit: after `--help`.
    """
    settings = parse(argv, environ)

    # Takes most of a second, which neither --help nor an invalid setting should wait for.
    from pinecone_token_operator.runtime import manager  # noqa: PLC0415
    from pinecone_token_operator.telemetry import logs  # noqa: PLC0415

    logs.set_up(settings.log_level, settings.log_format, environ, sys.stderr)
    for name in _COMMAND.unknown_variables(environ):
        logger.warning("Ignoring unknown environment variable %s; see run --help", name)
    return manager.run(settings)


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Return the settings from the arguments that follow `run`.

    Raises:
        SettingsInvalid: in one line, what is wrong and what is accepted.
        SystemExit: after `--help`.
    """
    values = _COMMAND.parse(argv, environ)
    host, port = values["health_address"]
    return Settings(
        endpoint=shared_options.endpoint(values, environ),
        namespaces=values["namespace"] or (),
        kubeconfig=values["kubeconfig"],
        context=values["context"],
        max_concurrent_exchanges=values["max_concurrent_exchanges"],
        health_host=host,
        health_port=port,
        log_level=values["log_level"],
        log_format=values["log_format"],
        resync_interval=values["resync_interval"],
        keep_tokens=values["keep_tokens"],
        leader_election=_leader_election(values) if values["leader_elect"] else None,
        shard=values["shard"],
        cluster_tokens=_cluster_tokens(values) if values["enable_cluster_access_tokens"] else None,
    )


def _cluster_tokens(values: Mapping[str, Any]) -> ClusterTokens:
    return ClusterTokens(
        _namespace(
            values,
            "cluster-resource-namespace",
            "the namespace of the credentials of ClusterPineconeAccessTokens",
        )
    )


def _leader_election(values: Mapping[str, Any]) -> LeaderElection:
    namespace = _namespace(values, "leader-election-namespace", "the namespace for the Lease")
    index, count = values["shard"].index, values["shard"].count
    election = LeaderElection(
        name=values["leader_election_lease_name"] + (f"-{index}" if count > 1 else ""),
        namespace=namespace,
        lease_duration=values["leader_election_lease_duration"],
        renew_deadline=values["leader_election_renew_deadline"],
        retry_period=values["leader_election_retry_period"],
    )
    if election.renew_deadline >= election.lease_duration:
        raise SettingsInvalid(
            "--leader-election-renew-deadline must be less than --leader-election-lease-duration, "
            "or two replicas could be active at once"
        )
    if election.retry_period * 2 > election.renew_deadline:
        raise SettingsInvalid(
            "--leader-election-retry-period must be at most half of "
            "--leader-election-renew-deadline, or one lost request would end the leadership"
        )
    return election


def _namespace(values: Mapping[str, Any], flag: str, meaning: str) -> str:
    """Return the namespace that a flag names, by default the pod's own."""
    namespace: str | None = values[flag.replace("-", "_")] or _pod_namespace()
    if namespace is None:
        raise SettingsInvalid(f"--{flag} is required outside a pod; set it to {meaning}")
    return namespace


def _pod_namespace() -> str | None:
    try:
        return _POD_NAMESPACE.read_text("utf-8").strip() or None
    except OSError:
        return None
