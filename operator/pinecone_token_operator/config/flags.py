"""The operator's flags: their names, defaults and help, and what a command line says of them.

A flag wins over its environment variable; an empty variable counts as unset, because charts render
those.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from pinecone_token_operator.config import validators
from pinecone_token_operator.errors import SettingsInvalid

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
        f"token requests under way at once, 1 to {validators.MAX_EXCHANGES}",
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


def read(
    argv: Sequence[str], environ: Mapping[str, str]
) -> Callable[[str], tuple[str, str | None]]:
    """Read what was given, and return what tells of a flag by its name.

    It tells what to call the setting in a message, and its text, which is None if it has none.

    Raises:
        SettingsInvalid: there is no such flag.
        SystemExit: after `--help`.
    """
    chosen = vars(_parser().parse_args(argv))

    def find(name: str) -> tuple[str, str | None]:
        flag = next(flag for flag in _FLAGS if flag.name == name)
        return _find(flag, chosen[flag.variable], environ)

    return find


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


def _find(flag: _Flag, chosen: Any, environ: Mapping[str, str]) -> tuple[str, str | None]:  # noqa: ANN401 - argparse's
    if chosen is not None:
        if flag.switch:
            return flag.option, str(chosen).lower()
        return flag.option, ",".join(chosen) if flag.repeatable else chosen
    if environ.get(flag.variable):
        return flag.variable, environ[flag.variable]
    return flag.option, flag.default
