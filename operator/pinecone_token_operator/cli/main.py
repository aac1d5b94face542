"""The program `pinecone-token-operator`: dispatches to the commands.

A command's module is light, and imported when the command is given; what the command does is
imported when it runs. So `--help` and an invalid setting are answered at once, and no command loads
the libraries of another.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from pinecone_token_operator.cli import options
from pinecone_token_operator.cli.options import PROGRAM, Parser
from pinecone_token_operator.errors import SettingsInvalid

SETTINGS_INVALID: Final = 2
INTERRUPTED: Final = 130

_COMMANDS: Final = {
    "run": "run the operator until it is stopped",
    "check": "check an installed operator, as helm test does",
    "sidecar": "keep a fresh token in files, without an operator",
}


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run a command and return its exit code."""
    name, *arguments = (sys.argv[1:] if argv is None else argv) or [""]
    try:
        if name not in _COMMANDS:
            _answer_without_command(name)
        command = importlib.import_module(f"pinecone_token_operator.cli.{name}")
        code: int = command.main(arguments, environ)
    except SettingsInvalid as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
        return SETTINGS_INVALID
    except KeyboardInterrupt:  # asyncio has cleaned up
        return INTERRUPTED
    return code


def _answer_without_command(argument: str) -> NoReturn:
    commands = "\n".join(f"  {name:<7} {text}" for name, text in _COMMANDS.items())
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s [-h] [--version] COMMAND [OPTIONS]",
        description="Keep a fresh Pinecone access token in a Kubernetes Secret, or in files.",
        epilog=f"commands:\n{commands}\n\n'{PROGRAM} COMMAND --help' shows a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    parser.parse_known_args([argument])
    kind = "flag" if argument.startswith("-") else "command"
    problem = f"unknown {kind}{options.shown(argument)}" if argument else "a command is required"
    *first, last = _COMMANDS
    parser.error(f"{problem}: use {', '.join(first)} or {last}")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import importlib.metadata  # noqa: PLC0415 - takes as long to import as all of this module

        try:
            version = importlib.metadata.version(PROGRAM)
        except importlib.metadata.PackageNotFoundError:
            version = "(run from source)"
        print(PROGRAM, version)  # noqa: T201 - the flag's output
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
