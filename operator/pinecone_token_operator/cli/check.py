"""`pinecone-token-operator check`: check an installed operator, as `helm test` does."""

from collections.abc import Mapping, Sequence
from typing import Final

from pinecone_token_operator.cli import options, shared_options
from pinecone_token_operator.cli.options import Option
from pinecone_token_operator.config import proxies, validators

_COMMAND: Final = options.Command(
    "check",
    (
        Option(
            "namespace",
            "NAME",
            validators.dns_label,
            "namespace to check in; the operator must watch it",
            required=True,
            has_variable=False,
        ),
        Option(
            "name",
            "NAME",
            validators.dns_name,
            "name of the resource to create and delete",
            required=True,
            has_variable=False,
        ),
        Option(
            "ask-token-endpoint",
            "",
            validators.boolean,
            "also check that the token endpoint rejects made-up credentials",
            default="true",
            switch=True,
            has_variable=False,
        ),
        Option(
            "timeout",
            "SECONDS",
            validators.seconds,
            "how long to wait for each status condition",
            default="60",
            has_variable=False,
        ),
        shared_options.KUBECONFIG,
    ),
    description="Check that an installed operator reports invalid credentials, as helm test does.",
)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Check, and return the exit code.

    Raises:
        SettingsInvalid: in one line, what is wrong and what is accepted.
        SystemExit: after `--help`.
    """
    values = _COMMAND.parse(argv, environ)
    proxies.read(environ)  # on the way to the API server

    # Takes most of a second, which neither --help nor an invalid option should wait for.
    from pinecone_token_operator.cli import installation  # noqa: PLC0415

    return installation.check(
        values["namespace"],
        values["name"],
        values["timeout"],
        values["kubeconfig"],
        ask_token_endpoint=values["ask_token_endpoint"],
    )
