"""`pinecone-token-operator sidecar`: the same refresh in a pod or anywhere, without an operator."""

import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pinecone_token_operator.api.placeholders import check_placeholders
from pinecone_token_operator.cli import options, shared_options
from pinecone_token_operator.cli.options import Option
from pinecone_token_operator.config import proxies, sidecar_validators, validators
from pinecone_token_operator.config.sidecar_settings import (
    CredentialFiles,
    GivenCredentials,
    MountedToken,
    Output,
    SidecarSettings,
    Webhook,
)
from pinecone_token_operator.errors import SettingsInvalid
from pinecone_token_operator.targets.stored_token import TOKEN_KEYS

_EPILOG: Final = """\
credentials, from one of these:
  --credentials-dir                                     the files client_id and client_secret
  PINECONE_CLIENT_ID_FILE, PINECONE_CLIENT_SECRET_FILE  the paths of two files
  PINECONE_CLIENT_ID, PINECONE_CLIENT_SECRET            the values themselves
Files are read again when they change. With --source-dir none are needed.

HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are honored, in lower case too. SOCKS proxies are
not supported.

exit codes:
  0  stopped by SIGTERM or SIGINT; with --one-time, the token was written
  1  unexpected error
  2  invalid flag or environment variable, unusable directory or credentials, address in use
  3  with --one-time, no token was written: it was refused, --timeout has passed, or it was stopped
"""
_CLIENT_ID, _CLIENT_SECRET = "PINECONE_CLIENT_ID", "PINECONE_CLIENT_SECRET"
_NO_TOKEN: Final = 3

logger = logging.getLogger(__name__)


def _template(text: str) -> dict[str, str]:
    """Accept lines of KEY=TEXT."""
    found = {}
    for line in filter(str.strip, text.split("\n")):
        name, equals, value = line.partition("=")
        if not equals:
            raise validators.InvalidValue(
                "is not KEY=TEXT, like 'authorization=Bearer ${access_token}'"
            )
        name = sidecar_validators.file_name(name.strip())
        if name in TOKEN_KEYS:
            raise validators.InvalidValue(f"{name!r} is always written; use another name")
        try:
            found[name] = check_placeholders(value)
        except ValueError as error:
            raise validators.InvalidValue(f"{name!r} {error}") from error
    return found


_COMMAND: Final = options.Command(
    "sidecar",
    (
        Option(
            "credentials-dir",
            "DIRECTORY",
            sidecar_validators.directory,
            "directory with the files client_id and client_secret, such as a mounted Secret",
        ),
        Option(
            "source-dir",
            "DIRECTORY",
            sidecar_validators.directory,
            "directory of a mounted target Secret, which an operator refreshes; needs no "
            "credentials; its token is served on --token-address",
        ),
        Option(
            "output-dir",
            "DIRECTORY",
            sidecar_validators.output_directory,
            "directory to write access_token, token_type and expires_at to, all at once, as the "
            "kubelet does for a Secret",
        ),
        Option(
            "file-mode",
            "MODE",
            sidecar_validators.file_mode,
            "octal mode of the files; their group is that of the directory if it passes it on, as "
            "with fsGroup",
            default="0640",
        ),
        Option(
            "template",
            "KEY=TEXT",
            _template,
            "another file to write, with ${access_token}, ${token_type}, ${expires_at} and "
            "${expires_at_unix}; repeat the flag, or put each on a line of its own",
            repeatable=True,
            separator="\n",
        ),
        Option(
            "token-address",
            "HOST:PORT",
            sidecar_validators.loopback_address,
            "loopback address to serve POST /oauth/token on, such as 127.0.0.1:8181, for SDKs that "
            "fetch tokens themselves; it accepts any client id and secret",
        ),
        Option(
            "health-address",
            "HOST:PORT",
            validators.address,
            "address to serve /startup, /livez, /readyz and /metrics on, such as 0.0.0.0:8081; by "
            "default they are not served",
        ),
        Option(
            "webhook-url",
            "URL",
            sidecar_validators.webhook_url,
            "URL to POST to after each renewal; https, or plain http on a loopback address",
        ),
        Option(
            "refresh-before",
            "DURATION",
            validators.duration("1s", "24h"),
            "how long before expiry the token is refreshed, such as 10m, at most half of its "
            "lifetime; by default a third of it",
        ),
        Option(
            "one-time",
            "",
            validators.boolean,
            "write the token once and exit: for init containers, CI and scripts",
            default="false",
            switch=True,
        ),
        Option(
            "timeout",
            "SECONDS",
            validators.seconds,
            "how long --one-time retries",
            default="60",
        ),
        *shared_options.ENDPOINT,
        *shared_options.LOGGING,
    ),
    description=(
        "Keep a fresh Pinecone access token in files or behind a loopback token endpoint, without "
        "a cluster-wide operator."
    ),
    epilog=_EPILOG,
)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the sidecar until it is stopped, and exit.

    Raises:
        SettingsInvalid: in one line, what is wrong and what is accepted.
        SystemExit: after `--help`, or when stopped before it is running.
    """
    # As a container's first process, it would otherwise ignore the signal while it is starting; and
    # only the settings say with which code to exit.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        settings = parse(argv, environ)
        code = 0 if settings.one_time is None else _NO_TOKEN
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(code))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    # Takes a quarter of a second, which neither --help nor an invalid setting should wait for.
    from pinecone_token_operator.runtime.sidecar import manager  # noqa: PLC0415
    from pinecone_token_operator.telemetry import logs  # noqa: PLC0415

    logs.set_up(settings.log_level, settings.log_format, environ, sys.stderr)
    for name in _COMMAND.unknown_variables(environ):
        logger.warning("Ignoring unknown environment variable %s; see sidecar --help", name)
    code = manager.run(settings)
    logging.shutdown()
    # On a busy machine, tearing down the interpreter takes most of the second that a stopped
    # process has, and everything is closed already.
    os._exit(code)


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> SidecarSettings:
    """Return the settings from the arguments that follow `sidecar`.

    Raises:
        SettingsInvalid: in one line, what is wrong and what is accepted.
        SystemExit: after `--help`.
    """
    values = _COMMAND.parse(argv, environ)
    source = _source(values, environ)
    _check_combination(values, source)
    output, url = values["output_dir"], values["webhook_url"]
    webhook = Webhook(url, proxies.read(environ).for_endpoint(url)) if url else None
    return SidecarSettings(
        endpoint=shared_options.endpoint(values, environ),
        source=source,
        output=Output(output, values["file_mode"], values["template"] or {}) if output else None,
        token_address=values["token_address"],
        health_address=values["health_address"],
        webhook=webhook,
        refresh_before=values["refresh_before"],
        one_time=values["timeout"] if values["one_time"] else None,
        in_pod=bool(environ.get("KUBERNETES_SERVICE_HOST")),
        log_level=values["log_level"],
        log_format=values["log_format"],
    )


def _source(
    values: Mapping[str, Any], environ: Mapping[str, str]
) -> CredentialFiles | GivenCredentials | MountedToken:
    """Return the only source that is set."""
    names = (_CLIENT_ID, f"{_CLIENT_ID}_FILE", _CLIENT_SECRET, f"{_CLIENT_SECRET}_FILE")
    given = {name: environ[name] for name in names if environ.get(name)}
    directory, mounted = values["credentials_dir"], values["source_dir"]
    chosen = ["--credentials-dir"] if directory else []
    chosen += ["--source-dir"] if mounted else []
    chosen += [next(iter(given))] if given else []
    if len(chosen) > 1:
        raise SettingsInvalid(
            f"{' and '.join(chosen)} are both set; set only one source of the token"
        )
    if mounted:
        return MountedToken(mounted)
    if directory:
        return CredentialFiles(directory / "client_id", directory / "client_secret")
    if not given:
        raise SettingsInvalid(
            f"no credentials: set --credentials-dir, or {_CLIENT_ID} and {_CLIENT_SECRET}, or "
            "--source-dir"
        )
    return _from_variables(given)


def _from_variables(given: Mapping[str, str]) -> CredentialFiles | GivenCredentials:
    for name in (_CLIENT_ID, _CLIENT_SECRET):
        if name in given and f"{name}_FILE" in given:
            raise SettingsInvalid(f"{name} and {name}_FILE are both set; set only one of them")
    if given.keys() == {_CLIENT_ID, _CLIENT_SECRET}:
        return GivenCredentials(given[_CLIENT_ID], given[_CLIENT_SECRET])
    files = (f"{_CLIENT_ID}_FILE", f"{_CLIENT_SECRET}_FILE")
    if given.keys() == set(files):
        client_id, client_secret = (Path(given[name]) for name in files)
        return CredentialFiles(client_id, client_secret)
    raise SettingsInvalid(
        f"{next(iter(given))} is set without its counterpart; set {_CLIENT_ID} and "
        f"{_CLIENT_SECRET}, or {files[0]} and {files[1]}"
    )


def _check_combination(values: Mapping[str, Any], source: object) -> None:
    """Refuse options that have no effect together."""
    if isinstance(source, MountedToken):
        _exclude(values, "source_dir", "output_dir", "one_time")
        if not values["token_address"] and not values["webhook_url"]:
            raise SettingsInvalid("--source-dir needs --token-address or --webhook-url")
        return
    if values["one_time"]:
        _exclude(values, "one_time", "token_address", "health_address", "webhook_url")
    if not values["output_dir"]:
        for key in ("one_time", "template"):
            if values[key]:
                raise SettingsInvalid(f"{_flag(key)} needs --output-dir")
        if not values["token_address"]:
            raise SettingsInvalid("no output: set --output-dir or --token-address")


def _exclude(values: Mapping[str, Any], chosen: str, *others: str) -> None:
    for key in others:
        if values[key]:
            raise SettingsInvalid(
                f"{_flag(key)} has no effect with {_flag(chosen)}; remove one of them"
            )


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"
