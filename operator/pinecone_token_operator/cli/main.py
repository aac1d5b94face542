"""The command line: `pinecone-token-operator run` and `pinecone-token-operator check`."""

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import Final

from pinecone_token_operator.config import flags, settings
from pinecone_token_operator.errors import SettingsInvalid
from pinecone_token_operator.telemetry import logs

PROGRAM: Final = "pinecone-token-operator"
SETTING_UNUSABLE: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code (see `flags.EXIT_CODES`)."""
    try:
        arguments = _parser().parse_args(argv)
        if arguments.command == "check":
            from pinecone_token_operator.cli import check  # noqa: PLC0415 - as below

            return check.run(arguments.options)
        chosen = settings.parse(arguments.options, os.environ)
    except SettingsInvalid as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
        return SETTING_UNUSABLE
    logs.set_up(chosen.log_level, chosen.log_format, os.environ, sys.stderr)

    # Takes most of a second, which neither --help nor a wrong setting should wait for.
    from pinecone_token_operator.runtime import manager  # noqa: PLC0415

    return manager.run(chosen)


def _parser() -> flags.Parser:
    parser = flags.Parser(
        prog=PROGRAM,
        description="Keeps a fresh Pinecone access token in a Kubernetes Secret.",
        epilog=f"'{PROGRAM} COMMAND --help' documents every option.\n\n{flags.EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {_version()}")
    parser.add_argument(
        "command",
        choices=["run", "check"],
        help="run the operator until it is stopped, or check an installed one, as helm test does",
    )
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of the command")
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version(PROGRAM)
    except importlib.metadata.PackageNotFoundError:
        return "(run from source)"


if __name__ == "__main__":
    sys.exit(main())
