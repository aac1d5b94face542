"""What the reader asks of the demo, by environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SHORTEST = 20
LONGEST = 24 * 3600
_DEFAULT = "120"


class DemoError(Exception):
    """The demo cannot go on; the message is one line for the reader."""


class SettingsError(DemoError):
    """A variable cannot be used."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The variables, checked.

    Attributes:
        seconds: how long the demo shows the operator at work.
        keep: whether everything goes on after that, until Ctrl-C.
        kubeconfig: of the reader's own cluster; None starts a cluster for the demo alone.
    """

    seconds: int
    keep: bool
    kubeconfig: str | None


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the variables; an empty one counts as unset."""
    return Settings(
        seconds=_seconds(environ.get("DEMO_SECONDS") or _DEFAULT),
        keep=_keep(environ.get("DEMO_KEEP") or "0"),
        kubeconfig=_kubeconfig(environ),
    )


def _seconds(text: str) -> int:
    if (
        text.isascii()
        and text.isdecimal()
        and len(text) < 10
        and (SHORTEST <= int(text) <= LONGEST)
    ):
        return int(text)
    raise SettingsError(
        f"DEMO_SECONDS={text!r} cannot be used: give a whole number from {SHORTEST} to {LONGEST}."
    )


def _keep(text: str) -> bool:
    if text not in {"0", "1"}:
        raise SettingsError(f"DEMO_KEEP={text!r} cannot be used: give 1, or leave it out.")
    return text == "1"


def _kubeconfig(environ: Mapping[str, str]) -> str | None:
    where = environ.get("DEMO_CLUSTER", "")
    if where not in {"", "current"}:
        raise SettingsError(
            f"DEMO_CLUSTER={where!r} cannot be used: give 'current' for the cluster of KUBECONFIG, "
            "or leave it out for a cluster of the demo's own."
        )
    if not where:
        return None
    # Never the default kubeconfig: the cluster of someone's daily work is named on purpose.
    kubeconfig = environ.get("KUBECONFIG", "")
    if not kubeconfig:
        raise SettingsError("DEMO_CLUSTER=current needs KUBECONFIG: set it to your kubeconfig.")
    for path in filter(None, kubeconfig.split(os.pathsep)):
        if not Path(path).is_file():
            raise SettingsError(f"KUBECONFIG names {path!r}, and there is no such file.")
    return kubeconfig
