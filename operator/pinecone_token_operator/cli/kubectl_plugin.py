"""The program `kubectl-pinecone_token`, which kubectl runs as `kubectl pinecone-token`.

It answers at a prompt, so it imports what a command does only when the command is given, and never
the libraries of the operator.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from pinecone_token_operator.cli.options import Parser, shown
from pinecone_token_operator.config import validators
from pinecone_token_operator.errors import ApiError, OperatorError, SettingsInvalid

if TYPE_CHECKING:
    from pinecone_token_operator.kubectl_plugin.kinds import Reference
    from pinecone_token_operator.kubectl_plugin.session import Session

PROGRAM: Final = "kubectl pinecone-token"
NOT_READY: Final = 1
SETTINGS_INVALID: Final = 2
API_FAILED: Final = 3
INTERRUPTED: Final = 130

FORMS: Final = ("json", "yaml")
_HELP: Final = ("-h", "--help")
_TIMEOUT: Final = "60s"


@dataclass(frozen=True, slots=True)
class _Command:
    """A command: its help, and whether it takes a name (`[NAME]`), needs one (`NAME`) or not."""

    help: str
    operand: str = "NAME"


@dataclass(frozen=True, slots=True)
class _Flag:
    """A flag of some commands, or of all.

    Attributes:
        names: the short and the long form.
        metavar: what the help shows in place of a value; empty for a switch.
        help: the help text.
        completes: what completion offers as a value.
        commands: the commands that have it; empty means all.
    """

    names: tuple[str, ...]
    metavar: str
    help: str
    completes: str | tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def is_of(self, command: str) -> bool:
        """Return whether a command has the flag."""
        return not self.commands or command in self.commands


_COMMANDS: Final = {
    "status": _Command("show whether tokens are valid; with NAME, everything about one", "[NAME]"),
    "refresh": _Command("request a new token now"),
    "suspend": _Command("stop refreshing"),
    "resume": _Command("start refreshing again"),
    "events": _Command("show what the operator recorded", "[NAME]"),
    "print": _Command("print the token, for scripts"),
    "doctor": _Command("find what is wrong and say what to do", "[NAME]"),
}
_FLAGS: Final = (
    _Flag(
        ("-n", "--namespace"),
        "NAMESPACE",
        "namespace to look in; by default the context's",
        "namespace",
    ),
    _Flag(
        ("-A", "--all-namespaces"),
        "",
        "look in all namespaces, and at cluster-scoped resources",
        commands=("status", "events", "doctor"),
    ),
    _Flag(("-o", "--output"), "FORMAT", "json or yaml", FORMS, ("status",)),
    _Flag(("-w", "--watch"), "", "print each change until Ctrl-C", commands=("status",)),
    _Flag(("--wait",), "", "wait for the result", commands=("refresh",)),
    _Flag(
        ("--timeout",),
        "DURATION",
        f"how long to wait, such as 90s or 2m; by default {_TIMEOUT}",
        commands=("refresh",),
    ),
    _Flag(
        ("--check-files",),
        "",
        "also read the age of mounted files, with kubectl exec",
        commands=("doctor",),
    ),
    _Flag(
        ("--context",),
        "CONTEXT",
        "context of the kubeconfig; by default its current one",
        "context",
    ),
    _Flag(
        ("--kubeconfig",),
        "FILE",
        "kubeconfig to use; by default those of KUBECONFIG, or ~/.kube/config",
        "file",
    ),
)
_VALUES: Final = {name: each.completes for each in _FLAGS if each.metavar for name in each.names}
_EPILOG: Final = (
    f"exit codes: 0 fine, {NOT_READY} a resource is not ready or a problem was found,"
    f" {SETTINGS_INVALID} invalid input, {API_FAILED} the API server failed"
)


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run a command and return its exit code."""
    try:
        return _run(sys.argv[1:] if argv is None else argv, environ)
    except SettingsInvalid as error:
        return _fail(str(error), SETTINGS_INVALID)
    except ApiError as error:
        return _fail(_explain(error), API_FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def complete(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Print completions for kubectl, as `kubectl_complete-pinecone_token`; never fails."""
    from pinecone_token_operator.kubectl_plugin import completion  # noqa: PLC0415 - see above

    words = list(sys.argv[1:] if argv is None else argv)

    def look_up(kind: str) -> Iterable[str]:
        return list(_names(kind, words, environ))

    flags = {
        command: [name for each in _FLAGS if each.is_of(command) for name in each.names]
        for command in ("", *_COMMANDS)
    }
    found, directive = completion.complete(words, flags, _VALUES, _COMMANDS, look_up)
    sys.stdout.write("".join(f"{each}\n" for each in found) + f":{directive}\n")
    return 0


def _run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    command, rest = _split(argv)
    if not command:
        return _without_command(rest)
    if command not in _COMMANDS:
        raise SettingsInvalid(
            f"unknown command{shown(command)}: use {_listed()} (see '{PROGRAM} --help')"
        )
    found = _parse(command, rest)
    form = found.get("output") or ""
    if form and form not in FORMS:
        raise SettingsInvalid(f"--output: {form!r} is not json or yaml")
    timeout = _validated("--timeout", found.get("timeout") or _TIMEOUT)
    if found.get("all_namespaces") and found["name"]:
        raise SettingsInvalid("-A cannot be combined with NAME; use -n NAMESPACE")
    session = _connect(found, environ)
    try:
        return _call(command, session, _reference(found, session), form, timeout, found)
    finally:
        session.api.close()


def _call(
    command: str,
    session: "Session",
    ref: "Reference | None",
    form: str,
    timeout: timedelta,
    found: Mapping[str, Any],
) -> int:
    # Each imports only what it needs.
    if command == "status":
        from pinecone_token_operator.kubectl_plugin.status import status  # noqa: PLC0415

        return status(session, ref, form=form, watch=found["watch"])
    if command == "doctor":
        from pinecone_token_operator.kubectl_plugin.diagnose import doctor  # noqa: PLC0415

        return doctor(session, ref, reads_files=found["check_files"])
    if command == "events":
        from pinecone_token_operator.kubectl_plugin.events import events  # noqa: PLC0415

        return events(session, ref)
    from pinecone_token_operator.kubectl_plugin import actions  # noqa: PLC0415

    if ref is None:
        raise AssertionError("the parser has required a name")
    if command == "refresh":
        return actions.refresh(session, ref, timeout, wait=found["wait"])
    if command == "print":
        return actions.print_token(session, ref)
    return actions.suspend(session, ref, suspended=command == "suspend")


def _connect(found: Mapping[str, Any], environ: Mapping[str, str]) -> "Session":
    from pinecone_token_operator.kubectl_plugin import api_server, kubeconfig  # noqa: PLC0415
    from pinecone_token_operator.kubectl_plugin.output import Output  # noqa: PLC0415
    from pinecone_token_operator.kubectl_plugin.session import Session  # noqa: PLC0415

    if found["namespace"] is not None:
        try:
            validators.dns_label(found["namespace"])
        except validators.InvalidValue as error:
            raise SettingsInvalid(f"--namespace: {error}") from None
    access = kubeconfig.find_access(found["kubeconfig"], found["context"], environ)
    namespace = found["namespace"] or access.namespace
    flags = (("--kubeconfig", found["kubeconfig"]), ("--context", found["context"]))
    return Session(
        api=api_server.connect(access, environ),
        namespace=None if found.get("all_namespaces") else namespace,
        own_namespace=namespace,
        output=Output.standard(environ),
        kubectl=tuple(f"{flag}={value}" for flag, value in flags if value),
    )


def _reference(found: Mapping[str, Any], session: "Session") -> "Reference | None":
    from pinecone_token_operator.kubectl_plugin.kinds import parse_reference  # noqa: PLC0415

    return parse_reference(found["name"], session.own_namespace) if found["name"] else None


def _split(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command, which may come after flags, and everything else."""
    for place, word in enumerate(argv):
        if not word.startswith("-") and (place == 0 or argv[place - 1] not in _VALUES):
            return word, [*argv[:place], *argv[place + 1 :]]
    return "", list(argv)


def _parse(command: str, argv: Sequence[str]) -> dict[str, Any]:
    """Return the values of a command's flags and its name.

    Raises:
        SettingsInvalid: in one line, what is wrong.
        SystemExit: after `--help`.
    """
    parser = _parser(command)
    found, rest = parser.parse_known_args(argv)
    if rest:
        kind = "unknown flag" if rest[0].startswith("-") else "unexpected argument"
        parser.error(f"{kind}{shown(rest[0].partition('=')[0])}")
    if _COMMANDS[command].operand == "NAME" and not found.name:
        parser.error("NAME is required")
    return vars(found)


def _parser(command: str) -> Parser:
    operand = _COMMANDS[command].operand
    parser = Parser(
        prog=f"{PROGRAM} {command}",
        usage=f"%(prog)s {operand} [FLAGS]",
        description=_sentence(_COMMANDS[command].help),
        epilog=_EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument(
        "name", metavar=operand, nargs="?", help="resource; cpat/NAME is a cluster-scoped one"
    )
    for each in _FLAGS:
        if each.is_of(command) and each.metavar:
            parser.add_argument(*each.names, metavar=each.metavar, help=each.help)
        elif each.is_of(command):
            parser.add_argument(*each.names, action="store_true", help=each.help)
    parser.add_argument(*_HELP, action="help", help="show this help and exit")
    return parser


class _Formatter(argparse.HelpFormatter):
    """Shows `-n, --namespace NAME` in all versions of Python."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return str(action.metavar)
        value = f" {action.metavar}" if action.nargs != 0 else ""
        return ", ".join(action.option_strings) + value


def _without_command(argv: Sequence[str]) -> int:
    if not any(each in _HELP for each in argv):
        raise SettingsInvalid(f"a command is required: use {_listed()} (see '{PROGRAM} --help')")
    lines = [
        f"usage: {PROGRAM} COMMAND [NAME] [FLAGS]",
        "",
        "Look after PineconeAccessTokens.",
        "",
        "commands:",
        *(f"  {name:<8} {each.help}" for name, each in _COMMANDS.items()),
        "",
        f"'{PROGRAM} COMMAND --help' shows a command's flags.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _names(kind: str, words: Sequence[str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield names for completion; none if they cannot be read."""
    from pinecone_token_operator.kube.paths import NAMESPACES  # noqa: PLC0415
    from pinecone_token_operator.kubectl_plugin import kubeconfig  # noqa: PLC0415

    given = {
        "namespace": _given(words, "-n", "--namespace"),
        "context": _given(words, "--context"),
        "kubeconfig": _given(words, "--kubeconfig"),
    }
    try:
        if kind == "context":
            yield from kubeconfig.context_names(given["kubeconfig"], environ)
            return
        session = _connect(given, environ)
        try:
            if kind == "namespace":
                for obj in session.api.list(NAMESPACES.collection()):
                    yield obj["metadata"]["name"]
            else:
                yield from session.names()
        finally:
            session.api.close()
    except OperatorError:
        return


def _given(words: Sequence[str], *flags: str) -> str | None:
    """Return the value of a flag among words, the last of which is incomplete."""
    found = None
    for flag, value in itertools.pairwise([*words[:-1], ""]):
        name, equals, same = flag.partition("=")
        if name in flags:
            found = same if equals else value
    return found or None


def _validated(flag: str, text: str) -> timedelta:
    try:
        return validators.duration("1s", "1h")(text)
    except validators.InvalidValue as error:
        raise SettingsInvalid(f"{flag}: {error}") from None


def _explain(error: ApiError) -> str:
    if error.not_found and not error.message.endswith("not found"):
        return (
            "the cluster does not have this kind of resource; install the operator with the Helm"
            " chart"
        )
    if not error.http_status:
        return error.message
    return f"{error.message} ({error.brief})"


def _listed() -> str:
    *first, last = _COMMANDS
    return f"{', '.join(first)} or {last}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _fail(message: str, code: int) -> int:
    from pinecone_token_operator.kubectl_plugin.output import clean  # noqa: PLC0415 - see above

    sys.stderr.write(f"{PROGRAM}: {clean(message)}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
