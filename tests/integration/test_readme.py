"""What the README says to type works, and what it lists is what there is."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pinecone_token_operator import reasons
from pinecone_token_operator.metrics import Metrics
from tests.support.cluster import Cluster
from tests.support.control_plane import binaries

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
CODE = "\n".join(re.findall(r"```sh\n(?:.|\n)*?```|`[^`\n]+`", README))

# What cannot run in a test, and why.
NOT_RUN = {
    "docker": "needs a container engine and a registry",
    "make demo": "has a test of its own",
    "make test": "is what runs this test",
}
VENV = ".venv/bin/"  # as make sets it up; here, whatever runs the tests


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    found = [" ".join(line.split("#")[0].split()) for line in lines]
    return [one for one in found if one and not one.startswith(tuple(NOT_RUN))]


def test_every_command_works_on_a_new_cluster(tmp_path: Path) -> None:
    found = commands()
    assert len(found) >= 6
    with Cluster(tmp_path) as cluster:
        for command in found:
            moment = re.sub(r'"\$\(date .*?\)"', "2026-11-25T12:00:00Z", command)
            program, *arguments = shlex.split(moment)
            if program == "kubectl":
                cluster.kubectl(*arguments)
            elif program == "helm":
                helm = str(binaries("helm")["helm"])
                run(helm, *arguments, "--kubeconfig", str(cluster.kubeconfig))
                cluster.kubectl("wait", "--for=condition=Established", "crd", "--all")
            elif program.startswith(VENV):
                run(str(Path(sys.executable).with_name(program.removeprefix(VENV))), *arguments)
            else:
                run(program, *arguments)
        strict = ("apply", "--dry-run=server", "--validate=strict", "-f")
        cluster.kubectl(*strict, "-", input=blocks("yaml")[0])
        cluster.kubectl(*strict, str(ROOT / "examples"))


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_mount_in_it_is_that_of_the_example() -> None:
    _, mount = blocks("yaml")
    # In the same order; comments and other settings may stand between.
    rest = iter((ROOT / "examples" / "pod.yaml").read_text("utf-8").splitlines())
    assert [line for line in mount.splitlines() if line not in rest] == []


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)\b", CODE))))
def test_every_make_target_it_names_exists(target: str) -> None:
    run("make", "--dry-run", target)


@pytest.mark.parametrize("metric", sorted(set(re.findall(r"pinecone_token_\w+", README))))
def test_every_metric_it_names_exists(metric: str) -> None:
    assert f"# TYPE {metric} " in Metrics().render().decode()


def test_its_table_of_rights_is_what_the_chart_grants() -> None:
    chart = str(ROOT / "charts" / "pinecone-token-operator")
    options = ["--show-only", "templates/rbac.yaml", "--kube-version", "1.37.2"]
    rendered = run(str(binaries("helm")["helm"]), "template", "release", chart, *options)
    rules = next(iter(yaml.safe_load_all(rendered)))["rules"]
    granted = {
        (what, verb) for rule in rules for what in rule["resources"] for verb in rule["verbs"]
    }
    section = README.split("## What it may read")[1].split("## ")[0]
    rows = re.findall(r"^\| `([a-z/]+)` \| ([a-z, ]+) \|", section, re.MULTILINE)
    assert {(what, verb) for what, verbs in rows for verb in verbs.split(", ")} == granted


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_file_it_links_to_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_it_explains_every_reason_in_the_words_of_the_code() -> None:
    source = Path(reasons.__file__).read_text("utf-8")
    in_code = re.findall(r'^    [A-Z_]+ = "(\w+)".*\n    """(.+)"""$', source, re.MULTILINE)
    section = README.split("## What it says")[1].split("## What it may read")[0]
    in_readme = re.findall(r"^\| `(\w+)` \| (.+?) \|$", section, re.MULTILINE)
    assert in_readme == in_code
    assert {reason for reason, _ in in_code} == {str(reason) for reason in reasons.Reason}
