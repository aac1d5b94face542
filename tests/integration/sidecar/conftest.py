"""Sidecars whose logs are searched for secrets at the end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.leaks import find_leaks
from tests.support.sidecar_process import SECRET, VARIABLES, Sidecar
from tests.support.token_endpoint import TokenEndpoint


class StartSidecar(Protocol):
    """Starts sidecars that are stopped with the test; `forked=False` where the start matters."""

    def __call__(
        self,
        *options: str,
        output: bool = True,
        environ: dict[str, str] | None = None,
        forked: bool = True,
    ) -> Sidecar: ...


@pytest.fixture
def sidecar(tmp_path: Path, endpoint: TokenEndpoint) -> Iterator[StartSidecar]:
    """Start a sidecar that writes files, with these further options."""
    made: list[Sidecar] = []

    def start(
        *options: str,
        output: bool = True,
        environ: dict[str, str] | None = None,
        forked: bool = True,
    ) -> Sidecar:
        directory = tmp_path / f"sidecar-{len(made)}"
        directory.mkdir()
        files = (f"--output-dir={directory / 'token'}",) if output else ()
        variables = VARIABLES if environ is None else environ
        one = Sidecar(endpoint, directory, *files, *options, environ=variables, forked=forked)
        made.append(one)
        return one.start()

    yield start
    for one in made:
        if one.process is not None:
            one.kill()
        log = {"log": one.log.read_text("utf-8")}
        assert find_leaks(log, [SECRET, *endpoint.tokens]) == []
        assert "Traceback" not in log["log"], log["log"]
