"""What the README says to type works, and what it lists is what there is."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from pinecone_token_operator import reasons
from tests.support.cluster import Cluster
from tests.support.control_plane import binaries

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")

# What cannot run in a test, and why.
NOT_RUN = {
    "docker": "needs a container engine and a registry",
    "make demo": "has a test of its own",
    "make test": "is what runs this test",
}


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
            else:
                run(program, *arguments)
        (resource,) = blocks("yaml")
        cluster.kubectl("apply", "--dry-run=server", "-f", "-", input=resource)


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(command)}:\n{done.stdout}{done.stderr}"


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
