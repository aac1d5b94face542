"""The operator's settings: flags, their environment variables, and the checks at start.

A flag wins over its variable; an empty variable counts as unset, because charts render those. A
message names what was set (flag or variable) and what would do. It never repeats the token URL,
which may hold a password by mistake.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol, TypeVar

from pinecone_token_operator import checks
from pinecone_token_operator.errors import SettingsInvalid
from pinecone_token_operator.sharding import Shard

EXIT_CODES: Final = """\
exit codes:
  0  stopped as asked (SIGTERM, SIGINT)
  1  an unexpected error
  2  a setting cannot be used
  3  the API server is not configured or not reachable at start
  4  another replica may lead by now: the Lease could not be renewed in time
"""

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("auto", "json", "text")

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


@dataclass(frozen=True, slots=True)
class _Flag:
    name: str
    metavar: str
    default: str | None
    help: str
    repeatable: bool = False
    switch: bool = False

    @property
    def option(self) -> str:
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        return "PTO_" + self.name.upper().replace("-", "_")


_FLAGS: Final = (
    _Flag(
        "token-url",
        "URL",
        "https://login.pinecone.io/oauth/token",
        "token endpoint; https, or plain http on a loopback address",
    ),
    _Flag("audience", "TEXT", "https://api.pinecone.io/", "audience of the tokens"),
    _Flag("api-version", "VERSION", "2025-04", "value of X-Pinecone-Api-Version"),
    _Flag(
        "ca-bundle",
        "FILE",
        None,
        "PEM file of certificates to trust at the token endpoint, instead of the usual ones",
    ),
    _Flag(
        "namespace",
        "NAME",
        None,
        "serve this namespace only; repeat the flag, or separate names by commas; "
        "without it, all namespaces are served",
        repeatable=True,
    ),
    _Flag(
        "kubeconfig",
        "FILE",
        None,
        "how to reach the API server outside a cluster; without it, the pod's service account, "
        "then the usual kubeconfig",
    ),
    _Flag("context", "NAME", None, "context of the kubeconfig; without it, the current one"),
    _Flag(
        "max-concurrent-exchanges",
        "N",
        # Enough for 80 tokens a second from an endpoint that takes 0.2 s. More of them make each
        # other slower once the processor is busy, and a new resource among them too.
        "16",
        f"token requests under way at once, 1 to {checks.MAX_EXCHANGES}",
    ),
    _Flag(
        "health-address",
        "HOST:PORT",
        "0.0.0.0:8080",
        "where /livez, /readyz and /metrics are served; IPv6 in brackets; port 0 picks a free one",
    ),
    _Flag("log-level", "LEVEL", "info", ", ".join(LOG_LEVELS)),
    _Flag(
        "log-format",
        "FORMAT",
        "auto",
        "auto, json or text; auto is json in a pod or without a terminal",
    ),
    _Flag(
        "resync-interval",
        "DURATION",
        "10m",
        "how often all resources are looked at again, such as 90s, 10m or 1h30m; 10s to 24h",
    ),
    _Flag(
        "keep-tokens",
        "DURATION",
        "0s",
        "how long a token is kept in memory, so that a target that is deleted or damaged gets it "
        "back without another exchange, such as 20m; 0s keeps none; up to 24h",
    ),
    _Flag(
        "shard",
        "INDEX/COUNT",
        "0/1",
        "serve one of several equal parts of the resources, and have its own Lease; INDEX counts "
        "from 0, and each part needs an operator",
    ),
    _Flag(
        "leader-elect",
        "true|false",
        "false",
        "let one of several replicas work, and the others stand by",
        switch=True,
    ),
    _Flag(
        "leader-election-lease-name",
        "NAME",
        "pinecone-token-operator",
        "name of the Lease that the replicas share; a shard adds its index",
    ),
    _Flag(
        "leader-election-namespace",
        "NAME",
        None,
        "namespace of the Lease; without it, the pod's own",
    ),
    _Flag(
        "leader-election-lease-duration",
        "DURATION",
        "15s",
        "how long the others wait after the leader's last sign of life; 2s to 1h",
    ),
    _Flag(
        "leader-election-renew-deadline",
        "DURATION",
        "10s",
        "how long the leader goes on without having renewed; less than the lease duration",
    ),
    _Flag(
        "leader-election-retry-period",
        "DURATION",
        "2s",
        "how often the leader renews; less than half the renew deadline",
    ),
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `SettingsInvalid`, like every other bad setting."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise SettingsInvalid(f"{message} (see --help)")


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Return the checked settings from the arguments that follow `run`.

    Raises:
        SettingsInvalid: in one line, what is wrong and what would do.
        SystemExit: after `--help`.
    """
    chosen = vars(_parser().parse_args(argv))

    def given(name: str, check: Callable[[str], T]) -> T | None:
        flag = next(flag for flag in _FLAGS if flag.name == name)
        source, text = _source(flag, chosen[flag.variable], environ)
        if text is None:
            return None
        try:
            return check(text)
        except checks.Problem as problem:
            raise SettingsInvalid(f"{source}: {problem}") from problem.__cause__

    def needed(name: str, check: Callable[[str], T]) -> T:
        value = given(name, check)
        if value is None:
            raise AssertionError(f"--{name} has no default")
        return value

    host, port = needed("health-address", checks.address)
    elect = needed("leader-elect", checks.switch)
    shard = needed("shard", checks.shard)
    return Settings(
        token_url=needed("token-url", checks.token_url),
        audience=needed("audience", checks.audience),
        api_version=needed("api-version", checks.api_version),
        ca_bundle=given("ca-bundle", checks.ca_bundle),
        namespaces=given("namespace", checks.namespaces) or (),
        kubeconfig=given("kubeconfig", checks.existing_file),
        context=given("context", checks.not_blank),
        max_concurrent_exchanges=needed("max-concurrent-exchanges", checks.exchanges),
        health_host=host,
        health_port=port,
        log_level=needed("log-level", lambda text: checks.one_of(text.lower(), LOG_LEVELS)),
        log_format=needed("log-format", lambda text: checks.one_of(text.lower(), LOG_FORMATS)),
        resync_interval=needed("resync-interval", checks.duration("10s", "24h")),
        keep_tokens=needed("keep-tokens", checks.duration("0s", "24h")),
        leader_election=_leader_election(given, needed, shard) if elect else None,
        shard=shard,
    )


class _Given(Protocol):
    def __call__(self, name: str, check: Callable[[str], T]) -> T | None: ...


class _Needed(Protocol):
    def __call__(self, name: str, check: Callable[[str], T]) -> T: ...


def _leader_election(given: _Given, needed: _Needed, shard: Shard) -> LeaderElection:
    prefix = "leader-election"
    namespace = given(f"{prefix}-namespace", checks.dns_label) or _pod_namespace()
    if namespace is None:
        raise SettingsInvalid(f"--{prefix}-namespace: is needed outside a pod, for the Lease")
    within = checks.duration("1s", "1h")
    suffix = f"-{shard.index}" if shard.count > 1 else ""
    election = LeaderElection(
        name=needed(f"{prefix}-lease-name", checks.dns_name) + suffix,
        namespace=namespace,
        lease_duration=needed(f"{prefix}-lease-duration", checks.duration("2s", "1h")),
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


def _parser() -> Parser:
    parser = Parser(
        prog="pinecone-token-operator run",
        description="Keep a fresh Pinecone access token in the Secret of each PineconeAccessToken.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for flag in _FLAGS:
        default = f"; default {flag.default}" if flag.default else ""
        text = f"{flag.help} [{flag.variable}{default}]"
        if flag.switch:
            parser.add_argument(
                flag.option,
                dest=flag.variable,
                action=argparse.BooleanOptionalAction,
                default=None,
                help=text,
            )
        else:
            parser.add_argument(
                flag.option,
                dest=flag.variable,
                metavar=flag.metavar,
                action="append" if flag.repeatable else "store",
                help=text,
            )
    return parser


def _source(flag: _Flag, chosen: Any, environ: Mapping[str, str]) -> tuple[str, str | None]:  # noqa: ANN401 - argparse's
    """Return what to call the setting in a message, and its text."""
    if chosen is not None:
        if flag.switch:
            return flag.option, str(chosen).lower()
        return flag.option, ",".join(chosen) if flag.repeatable else chosen
    if environ.get(flag.variable):
        return flag.variable, environ[flag.variable]
    return flag.option, flag.default
