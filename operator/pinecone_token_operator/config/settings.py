"""The operator's settings, checked at start.

A message names what was set (flag or variable) and what would do. It never repeats the token URL,
which may hold a password by mistake.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from pinecone_token_operator.config import flags, validators
from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.errors import SettingsInvalid

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LeaderElection:
    """How replicas agree on the one that works.

    Attributes:
        name: the Lease's name.
        namespace: the Lease's namespace.
        lease_duration: how long the others wait after the leader's last sign of life.
        renew_deadline: how long the leader goes on without having renewed.
        retry_period: how often it renews.
    """

    name: str
    namespace: str
    lease_duration: timedelta
    renew_deadline: timedelta
    retry_period: timedelta


@dataclass(frozen=True, slots=True)
class Settings:
    """What an administrator chose, checked.

    Attributes:
        token_url: where credentials are exchanged; https, or http on loopback.
        audience: the exchange's `audience`.
        api_version: the exchange's `X-Pinecone-Api-Version`.
        ca_bundle: a PEM file to trust instead of the system's certificates.
        namespaces: the namespaces to serve; none means all.
        kubeconfig: the file to connect by when not in a cluster.
        context: the kubeconfig's context; None means its current one.
        max_concurrent_exchanges: how many token requests may be under way at once.
        health_host: the address that probes and metrics listen on.
        health_port: the port that probes and metrics listen on; 0 picks a free one.
        log_level: debug, info, warning or error.
        log_format: auto, json or text.
        resync_interval: how often all resources are listed and looked at again.
        keep_tokens: how long a token is kept in memory, to be put back should it get lost.
        leader_election: None means that this process works alone.
        shard: which of the resources this process, and those that stand by for it, serve.
    """

    token_url: str
    audience: str
    api_version: str
    ca_bundle: Path | None
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


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Return the checked settings from the arguments that follow `run`.

    Raises:
        SettingsInvalid: in one line, what is wrong and what would do.
        SystemExit: after `--help`.
    """
    find = flags.read(argv, environ)

    def given(name: str, check: Callable[[str], T]) -> T | None:
        source, text = find(name)
        if text is None:
            return None
        try:
            return check(text)
        except validators.Problem as problem:
            raise SettingsInvalid(f"{source}: {problem}") from problem.__cause__

    def needed(name: str, check: Callable[[str], T]) -> T:
        value = given(name, check)
        if value is None:
            raise AssertionError(f"--{name} has no default")
        return value

    host, port = needed("health-address", validators.address)
    elect = needed("leader-elect", validators.switch)
    shard = needed("shard", validators.shard)
    return Settings(
        token_url=needed("token-url", validators.token_url),
        audience=needed("audience", validators.audience),
        api_version=needed("api-version", validators.api_version),
        ca_bundle=given("ca-bundle", validators.ca_bundle),
        namespaces=given("namespace", validators.namespaces) or (),
        kubeconfig=given("kubeconfig", validators.existing_file),
        context=given("context", validators.not_blank),
        max_concurrent_exchanges=needed("max-concurrent-exchanges", validators.exchanges),
        health_host=host,
        health_port=port,
        log_level=needed(
            "log-level", lambda text: validators.one_of(text.lower(), flags.LOG_LEVELS)
        ),
        log_format=needed(
            "log-format", lambda text: validators.one_of(text.lower(), flags.LOG_FORMATS)
        ),
        resync_interval=needed("resync-interval", validators.duration("10s", "24h")),
        keep_tokens=needed("keep-tokens", validators.duration("0s", "24h")),
        leader_election=_leader_election(given, needed, shard) if elect else None,
        shard=shard,
    )


class _Given(Protocol):
    def __call__(self, name: str, check: Callable[[str], T]) -> T | None: ...


class _Needed(Protocol):
    def __call__(self, name: str, check: Callable[[str], T]) -> T: ...


def _leader_election(given: _Given, needed: _Needed, shard: Shard) -> LeaderElection:
    prefix = "leader-election"
    namespace = given(f"{prefix}-namespace", validators.dns_label) or _pod_namespace()
    if namespace is None:
        raise SettingsInvalid(f"--{prefix}-namespace: is needed outside a pod, for the Lease")
    within = validators.duration("1s", "1h")
    suffix = f"-{shard.index}" if shard.count > 1 else ""
    election = LeaderElection(
        name=needed(f"{prefix}-lease-name", validators.dns_name) + suffix,
        namespace=namespace,
        lease_duration=needed(f"{prefix}-lease-duration", validators.duration("2s", "1h")),
        renew_deadline=needed(f"{prefix}-renew-deadline", within),
        retry_period=needed(f"{prefix}-retry-period", within),
    )
    if election.renew_deadline >= election.lease_duration:
        raise SettingsInvalid(
            f"--{prefix}-renew-deadline: must be less than --{prefix}-lease-duration, "
            "or two replicas could work at a time"
        )
    if election.retry_period * 2 > election.renew_deadline:
        raise SettingsInvalid(
            f"--{prefix}-retry-period: must be at most half of --{prefix}-renew-deadline, "
            "or one lost request would cost the lead"
        )
    return election


def _pod_namespace() -> str | None:
    try:
        return _POD_NAMESPACE.read_text("utf-8").strip() or None
    except OSError:
        return None
