"""What the README lists is what there is. That its commands work is for test_docs to show."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from pinecone_token_operator.api import conditions
from tests.support.control_plane import binaries
from tests.support.repository import ROOT

README = (ROOT / "README.md").read_text("utf-8")
CODE = "\n".join(re.findall(r"```sh\n(?:.|\n)*?```|`[^`\n]+`", README))


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)\b", CODE))))
def test_every_make_target_it_names_exists(target: str) -> None:
    run("make", "--dry-run", target)


def test_its_table_of_rights_is_what_the_chart_grants() -> None:
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
    section = README.split("## What it may read")[1].split("## ")[0]
    rows = re.findall(r"^\| `([a-z/]+)` \| ([a-z, ]+) \|", section, re.MULTILINE)
    assert {(what, verb) for what, verbs in rows for verb in verbs.split(", ")} == granted


def test_it_explains_every_reason_in_the_words_of_the_code() -> None:
    source = Path(conditions.__file__).read_text("utf-8")
    in_code = re.findall(r'^    [A-Z_]+ = "(\w+)".*\n    """(.+)"""$', source, re.MULTILINE)
    section = README.split("## What it says")[1].split("## What it may read")[0]
    in_readme = re.findall(r"^\| `(\w+)` \| (.+?) \|$", section, re.MULTILINE)
    assert in_readme == in_code
    assert {reason for reason, _ in in_code} == {str(reason) for reason in conditions.Reason}
