"""The sidecar's page and examples can be followed: options are accepted, commands work."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pinecone_token_operator.cli.sidecar import parse
from tests.support.documents import blocks
from tests.support.repository import ROOT
from tests.support.sidecar_process import VARIABLES
from tests.support.token_endpoint import TokenEndpoint

PAGE = ROOT / "docs" / "sidecar.md"
EXAMPLES = ROOT / "examples"
DIRECTORIES = ("/var/run/pinecone-credentials", "/var/run/pinecone")


def load(name: str) -> Any:
    return yaml.safe_load((EXAMPLES / name).read_text("utf-8"))


def invocations() -> Iterator[Any]:
    """Yield the arguments of every sidecar in the examples and on the page."""
    for name in ("sidecar-deployment.yaml", "sidecar-job.yaml"):
        (container,) = load(name)["spec"]["template"]["spec"]["initContainers"]
        yield pytest.param(container["args"], {}, id=name)
    service = load("compose.yaml")["services"]["pinecone-token"]
    yield pytest.param(service["command"], service["environment"], id="compose.yaml")
    for block in blocks(PAGE, "yaml"):
        found = yaml.safe_load(
            block.text.partition("\n")[2] if "#" in block.text[:2] else block.text
        )
        (one,) = found
        if "args" in one:
            yield pytest.param(one["args"], {}, id="consumer")
        elif isinstance(one, str):
            yield pytest.param(["sidecar", "--output-dir=/tmp", one], VARIABLES, id="envoy")
        elif "run" in one:
            words = shlex.split(one["run"])
            yield pytest.param(words[words.index("sidecar") :], VARIABLES, id="ci")


@pytest.mark.parametrize(("arguments", "environ"), list(invocations()))
def test_options_of_examples_are_accepted(
    arguments: list[str], environ: dict[str, str], tmp_path: Path
) -> None:
    assert arguments[0] == "sidecar"
    for base in ("/var/run", "/work"):
        arguments = [one.replace(base, str(tmp_path)) for one in arguments]
    for name in DIRECTORIES:
        (tmp_path / Path(name).name).mkdir()

    parse(arguments[1:], environ)


def test_native_sidecar_gates_the_application() -> None:
    for name in ("sidecar-deployment.yaml", "sidecar-job.yaml"):
        pod = load(name)["spec"]["template"]["spec"]
        (sidecar,), (application,) = pod["initContainers"], pod["containers"]
        assert sidecar["restartPolicy"] == "Always"
        assert sidecar["startupProbe"]["httpGet"]["path"] == "/startup"
        assert "readinessProbe" not in sidecar
        mounts = [mount["name"] for mount in application["volumeMounts"]]
        assert mounts == ["pinecone-token"]


def test_commands_of_the_page_work(tmp_path: Path) -> None:
    program = tmp_path / "pinecone-token-operator"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pinecone_token_operator "$@"\n')
    program.chmod(0o755)
    (block,) = (each for each in blocks(PAGE, "sh") if "--one-time" in each.text)
    with TokenEndpoint(directory=tmp_path / "endpoint") as endpoint:
        environ = {
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "PTO_TOKEN_URL": endpoint.url,
            "PTO_CA_BUNDLE": str(endpoint.ca_bundle),
        }
        command = ["bash", "-euo", "pipefail", "-c", block.text]
        subprocess.run(command, cwd=tmp_path, env=environ, check=True)

        (token,) = endpoint.tokens
    files = {
        path.name: path.read_text() for path in (tmp_path / "token").iterdir() if path.is_file()
    }
    assert files["authorization"] == f"Bearer {token}"
    assert files["pinecone.env"] == f"PINECONE_ACCESS_TOKEN={token}"
