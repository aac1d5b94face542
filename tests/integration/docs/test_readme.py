"""The README names make targets and RBAC rules that exist; test_docs runs its commands."""

import re
import shlex
import subprocess

import pytest
import yaml

from tests.support.control_plane import binaries
from tests.support.documents import README, section
from tests.support.repository import ROOT

CODE = "\n".join(re.findall(r"```sh\n(?:.|\n)*?```|`[^`\n]+`", README.read_text("utf-8")))


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)\b", CODE))))
def test_readme_names_existing_make_targets(target: str) -> None:
    run("make", "--dry-run", target)


@pytest.mark.programs("helm")
def test_readme_rbac_table_matches_the_rules_of_the_chart() -> None:
    chart = str(ROOT / "charts" / "pinecone-token-operator")
    options = ["--show-only", "templates/rbac.yaml", "--kube-version", "1.37.2"]
    rendered = run(str(binaries("helm")["helm"]), "template", "release", chart, *options)
    granted = {
        (what, verb)
        for found in yaml.safe_load_all(rendered)
        for rule in found.get("rules", ())
        for what in rule["resources"]
        for verb in rule["verbs"]
    }
    table = section(README, "RBAC")
    rows = re.findall(r"^\| `([a-z/]+)` \| ([a-z, ]+) \|", table, re.MULTILINE)
    assert {(what, verb) for what, verbs in rows for verb in verbs.split(", ")} == granted
