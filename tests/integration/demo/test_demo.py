"""`make demo` as a user runs it, without a terminal."""

import os
import subprocess
import sys

import pytest

from tests.support.cluster import Cluster
from tests.support.repository import ROOT
from tests.support.token_endpoint import TOKEN_PREFIX

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)

CLIENT_SECRETS = ("demo-client-secret-", "REPLACE-WITH-CLIENT-SECRET")


def run_demo(**variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name != "KUBECONFIG" and not name.startswith("DEMO_")
    }
    return subprocess.run(
        [sys.executable, "-m", "tests.demo"],
        cwd=ROOT,
        env=inherited | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_demo_shows_every_recovery_and_no_secret() -> None:
    done = run_demo(DEMO_SECONDS="25")

    output = done.stdout + done.stderr
    assert TOKEN_PREFIX not in output
    assert not [secret for secret in CLIENT_SECRETS if secret in output]
    assert done.returncode == 0, output
    for line in (
        "event: all 6 resources have a token",
        "event: deleted the target Secret pinecone-access-token",
        "event: rotated the credentials in batch-service-account",
        "event: overwrote access_token in the Secret search-ui",
        "event: labelled the namespace pinecone-demo-team-c",
        "event: it had a copy of the token that the others held already, without a token request,",
        "event: stopped the token endpoint for 6 s",
        "of 6 resources could not be refreshed",
        "event: all resources were up to date after ",
        "  shortest remaining lifetime ever seen in a target: ",
        "    kept: no target ever held an expired token",
        "    kept: every recovery took less than 15 s",
        "    kept: all resources were Ready at the end",
        "What to try next",
        "Cleaning up.",
    ):
        assert line in output
    assert "0 of 6 resources could not be refreshed" not in output  # the outage had an effect
    assert "BROKEN" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DEMO_SECONDS": "abc"}, "DEMO_SECONDS='abc' is invalid: use a whole number"),
        ({"DEMO_SECONDS": "5"}, "DEMO_SECONDS='5' is invalid: use a whole number from 20"),
        ({"DEMO_KEEP": "yes"}, "DEMO_KEEP='yes' is invalid: use 1"),
        ({"DEMO_CLUSTER": "mine"}, "DEMO_CLUSTER='mine' is invalid: use 'current'"),
        ({"DEMO_CLUSTER": "current"}, "DEMO_CLUSTER=current needs KUBECONFIG"),
        (
            {"DEMO_CLUSTER": "current", "KUBECONFIG": "/nonexistent"},
            "KUBECONFIG names '/nonexistent', which is not a file",
        ),
    ],
)
def test_demo_explains_an_invalid_variable_in_one_line(
    variables: dict[str, str], message: str
) -> None:
    done = run_demo(**variables)

    assert done.returncode == 2
    assert done.stderr.startswith(f"demo: {message}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
