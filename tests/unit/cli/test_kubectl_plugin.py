"""The plugin's command line: what it refuses, what it prints without a cluster, completion."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pinecone_token_operator.cli import kubectl_plugin
from pinecone_token_operator.kubectl_plugin.kinds import KINDS
from pinecone_token_operator.kubectl_plugin.output import clean
from tests.support.forked_process import run_forked
from tests.support.repository import ROOT


def run(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run_forked(kubectl_plugin.main, argv, {"HOME": "/nonexistent", **environ})


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (
            [],
            (
                "a command is required: use status, refresh, suspend, resume, events, print or"
                " doctor (see 'kubectl pinecone-token --help')"
            ),
        ),
        (
            ["stat"],
            (
                "unknown command 'stat': use status, refresh, suspend, resume, events, print or"
                " doctor (see 'kubectl pinecone-token --help')"
            ),
        ),
        (
            ["status", "--wat"],
            "unknown flag '--wat' (see 'kubectl pinecone-token status --help')",
        ),
        (
            ["status", "a", "b"],
            "unexpected argument 'b' (see 'kubectl pinecone-token status --help')",
        ),
        (["print"], "NAME is required (see 'kubectl pinecone-token print --help')"),
        (["status", "-o", "xml"], "--output: 'xml' is not json or yaml"),
        (["status", "-A", "x"], "-A cannot be combined with NAME; use -n NAMESPACE"),
        (
            ["refresh", "x", "--timeout=soon"],
            (
                "--timeout: 'soon' is not a duration: use hours, minutes and seconds, such as 1h30m"
                " or 90s"
            ),
        ),
        (
            ["status", "-n", "A_B"],
            (
                "--namespace: 'A_B' is not a namespace name: use at most 63 lower-case letters,"
                " digits and hyphens, starting and ending with a letter or digit"
            ),
        ),
        (
            ["status"],
            (
                "there is no kubeconfig at /nonexistent/.kube/config; use --kubeconfig FILE, or set"
                " KUBECONFIG"
            ),
        ),
        (["status", "--kubeconfig=/none"], "--kubeconfig: '/none' is not a file"),
    ],
)
def test_invalid_input_exits_2_with_one_line(argv: list[str], line: str) -> None:
    done = run(*argv)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"kubectl pinecone-token: {line}\n"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("pod/x", "NAME: unknown kind 'pod'; use NAME, pat/NAME or cpat/NAME"),
        (
            "X",
            (
                "NAME: 'X' is not a Kubernetes name: use lower-case letters, digits, hyphens and"
                " dots, at most 253 characters"
            ),
        ),
    ],
)
def test_invalid_name_exits_2_with_one_line(name: str, line: str, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)

    done = run("status", name, KUBECONFIG=str(kubeconfig))

    assert (done.returncode, done.stderr) == (2, f"kubectl pinecone-token: {line}\n")


KUBECONFIG = """
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {token: hunter2}}]
"""


def test_unreachable_server_exits_3_with_one_line(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)

    done = run("status", KUBECONFIG=str(kubeconfig))

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("kubectl pinecone-token: no connection to 127.0.0.1:1: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("user", "line"),
    [
        ("{exec: {apiVersion: x, command: y}}", "exec plugin has an unknown apiVersion"),
        (
            (
                "{exec: {apiVersion: client.authentication.k8s.io/v1, command: none-such,"
                " installHint: get it}}"
            ),
            "exec plugin 'none-such' cannot be run: No such file or directory (get it)",
        ),
        (
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: 'false'}}",
            "exec plugin 'false' failed with exit code 1",
        ),
        (
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: echo, args: [hunter2]}}",
            "exec plugin did not print an ExecCredential",
        ),
        ("{auth-provider: {name: oidc}}", "has an auth-provider"),
    ],
)
def test_unusable_credentials_exit_2_without_a_secret(user: str, line: str, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.replace("{token: hunter2}", user))

    done = run("status", KUBECONFIG=str(kubeconfig), PATH="/usr/bin:/bin")

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert line in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("current-context: c", ""), "the kubeconfig has no current context; use --context NAME"),
        (("current-context: c", "current-context: [c]"), "the kubeconfig has no current context;"),
        (("current-context: c", "current-context: x"), "the kubeconfig has no context 'x'; it has"),
        (("name: c, context", r'name: "c\n", context'), "has no context 'c'; it has c "),
        (("cluster: c, user", "cluster: [c], user"), "the kubeconfig has no cluster ['c']"),
        (("cluster: c, user", "cluster: x, user"), "the kubeconfig has no cluster 'x'; it has c"),
        (("user: u}", "user: x}"), "the kubeconfig has no user 'x'; it has u"),
        (("http://127.0.0.1:1", "https://[::1"), "the context 'c' has no valid server URL"),
        (("http://127.0.0.1:1", "https://a..b"), "the context 'c' has no valid server URL"),
        (("http://127.0.0.1:1", "https://a:99999"), "the context 'c' has no valid server URL"),
        (("http://127.0.0.1:1", "ftp://a"), "the context 'c' has no valid server URL"),
        (("token: hunter2", r'token: "hunter2\nx"'), "has a token that no HTTP header can carry"),
        (("token: hunter2", "tokenFile: none"), "/none', which cannot be read: No such file"),
        (("token: hunter2", "client-certificate: /none"), "names '/none', which cannot be read"),
        (("token: hunter2", "client-certificate-data: x"), "client-certificate-data is not base64"),
    ],
)
def test_unusable_kubeconfig_exits_2_with_one_line(
    change: tuple[str, str], line: str, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.replace(*change))

    done = run("status", KUBECONFIG=str(kubeconfig))

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert line in done.stderr
    assert "hunter2" not in done.stderr


def test_malformed_kubeconfig_is_not_quoted(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("users: [hunter2: {")

    done = run("status", KUBECONFIG=str(kubeconfig))

    assert done.stderr == (
        f"kubectl pinecone-token: the kubeconfig {kubeconfig} is not valid YAML\n"
    )
    assert done.returncode == 2


def test_files_of_kubeconfig_variable_are_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("current-context: d\n")
    second.write_text(KUBECONFIG.replace("name: c, context", "name: d, context"))
    environ = {"KUBECONFIG": f"{first}:{tmp_path / 'missing'}:{second}"}

    assert kubectl_plugin.complete(["status", "--context", ""], environ) == 0
    assert kubectl_plugin.main(["status"], environ) == 3

    output = capsys.readouterr()
    assert output.out == "d\n:4\n"
    assert output.err.startswith("kubectl pinecone-token: no connection to 127.0.0.1:1: ")


def test_kinds_are_those_of_the_crds() -> None:
    known = {(each.name, each.api.plural, each.short, each.api.namespaced) for each in KINDS}

    for path in (ROOT / "crds").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text("utf-8"))
        names = crd["spec"]["names"]
        is_namespaced = crd["spec"]["scope"] == "Namespaced"
        found = (names["kind"], names["plural"], names["shortNames"][0], is_namespaced)
        assert found in known


def test_control_characters_of_a_status_are_not_printed() -> None:
    assert clean("a\x1b[2Jb\nc\x9b") == "a [2Jb c "


def test_plugin_starts_in_less_than_0_4_s(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    # Up to the first request. Processor time, because other tests run beside this one.
    command = [sys.executable, "-m", "pinecone_token_operator.cli.kubectl_plugin", "doctor"]

    def seconds() -> float:
        with subprocess.Popen(
            [*command, f"--kubeconfig={kubeconfig}"], stderr=subprocess.DEVNULL
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 3
        return usage.ru_utime + usage.ru_stime

    assert min(seconds() for _ in range(3)) < 0.4
