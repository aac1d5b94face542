"""Command-line options: how they are declared, read and reported.

A flag wins over its `PTO_` environment variable, and an empty variable counts as unset, because
charts render those. Every error is one line that names the flag or variable that was set and says
what is accepted.
"""

import argparse
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from pinecone_token_operator.config import validators
from pinecone_token_operator.errors import SettingsInvalid

_OF_A_SERVICE: Final = re.compile(r"PTO_(SERVICE_(HOST|PORT)|PORT)(_|$)")

PROGRAM: Final = "pinecone-token-operator"


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a command.

    Attributes:
        name: the flag without its dashes.
        metavar: what the help shows in place of a value.
        validate: a function of `config.validators`.
        help: the help text.
        default: the value's text if nothing else is set.
        repeatable: whether the flag may be repeated, which is as good as the separator in its text.
        separator: what separates several values in one text.
        required: whether it must be set.
        switch: whether the flag takes no value, and is turned off by `--no-` and its name.
        has_variable: whether an environment variable sets it, too.
    """

    name: str
    metavar: str
    validate: Callable[[str], object]
    help: str
    default: str | None = None
    repeatable: bool = False
    separator: str = ","
    required: bool = False
    switch: bool = False
    has_variable: bool = True

    @property
    def flag(self) -> str:
        """The flag, with its dashes."""
        return f"--{self.name}"

    @property
    def key(self) -> str:
        """What the option's value is called in Python."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable that sets the option, if it has one."""
        return f"PTO_{self.key.upper()}" if self.has_variable else ""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `SettingsInvalid`, like those of every other setting."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        raise SettingsInvalid(f"{message} (see '{self.prog} --help')")


@dataclass(frozen=True, slots=True)
class Command:
    """The options of a command, and the texts around them in its help."""

    name: str
    options: tuple[Option, ...]
    description: str
    epilog: str = ""

    def parse(self, argv: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
        """Return the options' values by key; None for an option that has neither text nor default.

        Raises:
            SettingsInvalid: in one line, what is wrong and what is accepted.
            SystemExit: after `--help`.
        """
        parser = self._parser()
        try:
            found, rest = parser.parse_known_args(argv)
        except argparse.ArgumentError as error:
            raise SettingsInvalid(self._misused(error.argument_name or "")) from None
        if rest:
            parser.error(self._unexpected(rest[0]))
        return {each.key: _value(each, getattr(found, each.key), environ) for each in self.options}

    def unknown_variables(self, environ: Mapping[str, str]) -> list[str]:
        """Return the `PTO_` variables that set no option, in which a typing error would hide.

        Kubernetes makes some itself for a Service that is called `pto`.
        """
        known = {each.variable for each in self.options}
        return [
            name
            for name in environ
            if name.startswith("PTO_") and name not in known and not _OF_A_SERVICE.match(name)
        ]

    def _parser(self) -> Parser:
        parser = Parser(
            prog=f"{PROGRAM} {self.name}",
            usage="%(prog)s [OPTIONS]",
            description=self.description,
            epilog=self.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            exit_on_error=False,
        )
        for each in self.options:
            notes = [each.variable] if each.has_variable else []
            notes += [f"default: {each.default}"] if each.default else []
            notes += ["required"] if each.required else []
            text = f"{each.help} [{'; '.join(notes)}]"
            if each.switch:
                switch = argparse.BooleanOptionalAction
                parser.add_argument(each.flag, dest=each.key, action=switch, help=text)
            else:
                action = "append" if each.repeatable else "store"
                parser.add_argument(
                    each.flag, dest=each.key, metavar=each.metavar, action=action, help=text
                )
        return parser

    def _misused(self, argument: str) -> str:
        # Not argparse's own words: they repeat a value that a switch was given.
        flag = argument.partition("/")[0]
        if any(each.switch and each.flag == flag for each in self.options):
            return f"{flag} takes no value; use {flag} or --no-{flag[2:]}"
        return f"{flag} needs a value; write {flag}=VALUE if it starts with a hyphen"

    def _unexpected(self, argument: str) -> str:
        flag, _, _ = argument.partition("=")
        if not flag.startswith("-"):
            return f"unexpected argument{shown(argument)}: all settings are flags"
        near = difflib.get_close_matches(flag, [each.flag for each in self.options], n=1)
        return f"unknown flag{shown(flag)}" + (f"; did you mean {near[0]}?" if near else "")


def shown(argument: str) -> str:
    """Return an argument for a message; empty if it may be a URL, which may hold a password."""
    return "" if "@" in argument or "://" in argument else f" {argument!r}"


def _value(option: Option, chosen: Any, environ: Mapping[str, str]) -> Any:  # noqa: ANN401 - argparse's values, and the option's
    source, text = option.flag, option.default
    if isinstance(chosen, bool):
        text = str(chosen).lower()
    elif chosen is not None:
        text = option.separator.join(chosen) if option.repeatable else chosen
    elif environ.get(option.variable):
        source, text = option.variable, environ[option.variable]
    if text is None:
        if option.required:
            raise SettingsInvalid(f"{source} is required")
        return None
    try:
        return option.validate(text)
    except validators.InvalidValue as error:
        raise SettingsInvalid(f"{source}: {error}") from error.__cause__
