"""Settings of the demo, from environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.program import ProgramError
from tests.support.variables import SettingsError, whole_number

MIN_SECONDS = 20
MAX_SECONDS = 24 * 3600


class DemoError(ProgramError):
    """The demo cannot go on; the message is one line for the reader."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The validated settings.

    Attributes:
        seconds: how long the demo shows the operator at work.
        keep: whether everything keeps running after that, until Ctrl-C.
        kubeconfig: of the reader's own cluster; None starts a cluster for the demo.
    """

    seconds: int
    keep: bool
    kubeconfig: str | None


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the variables; an empty one counts as unset.

    Raises:
        SettingsError: a variable has an invalid value.
    """
    return Settings(
        seconds=whole_number(environ, "DEMO_SECONDS", "120", MIN_SECONDS, MAX_SECONDS),
        keep=_keep(environ.get("DEMO_KEEP") or "0"),
        kubeconfig=_kubeconfig(environ),
    )


def _keep(text: str) -> bool:
    if text not in {"0", "1"}:
        raise SettingsError(f"DEMO_KEEP={text!r} is invalid: use 1 or leave it unset.")
    return text == "1"


def _kubeconfig(environ: Mapping[str, str]) -> str | None:
    where = environ.get("DEMO_CLUSTER", "")
    if where not in {"", "current"}:
        raise SettingsError(
            f"DEMO_CLUSTER={where!r} is invalid: use 'current' for the cluster of KUBECONFIG, or "
            "leave it unset to start a cluster for the demo."
        )
    if not where:
        return None
    # Never the default kubeconfig: the reader has to name the cluster on purpose.
    kubeconfig = environ.get("KUBECONFIG", "")
    if not kubeconfig:
        raise SettingsError("DEMO_CLUSTER=current needs KUBECONFIG: set it to your kubeconfig.")
    for path in filter(None, kubeconfig.split(os.pathsep)):
        if not Path(path).is_file():
            raise SettingsError(f"KUBECONFIG names {path!r}, which is not a file.")
    return kubeconfig
