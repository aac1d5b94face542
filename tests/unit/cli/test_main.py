"""The program as a process: what it prints, how it exits, and what it loads."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pinecone_token_operator.cli.main import main
from tests.support.forked_process import run_forked
from tests.support.repository import ROOT

HEAVY = ("asyncio", "aiohttp", "httpx", "kopf", "kubernetes", "pydantic")


def run(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run_forked(main, argv, {"PTO_AUDIENCE": " ", **environ})


def start(
    *argv: str, program: str = "-m pinecone_token_operator", **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program.split(" ", 1), *argv],
        cwd=ROOT / "operator",
        env={"PTO_AUDIENCE": " ", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        pytest.param(
            ["run", "--audience=a", "--resync-interval=soon"],
            "--resync-interval: 'soon' is not a duration: use hours, minutes and seconds, such as"
            " 1h30m or 90s",
            id="flag",
        ),
        pytest.param(
            ["run"],
            "PTO_AUDIENCE: must not be empty, start or end with a space, or contain control"
            " characters",
            id="variable",
        ),
        pytest.param(["check", "--name=x"], "--namespace is required", id="required flag"),
        pytest.param(
            ["check", "--timeout=nan", "--name=x", "--namespace=y"],
            "--timeout: 'nan' is not a number of seconds above 0 and up to 3600",
            id="number that is none",
        ),
        pytest.param(
            ["chek"],
            "unknown command 'chek': use run, check or sidecar"
            " (see 'pinecone-token-operator --help')",
            id="unknown command",
        ),
        pytest.param(
            [],
            "a command is required: use run, check or sidecar"
            " (see 'pinecone-token-operator --help')",
            id="no command",
        ),
    ],
)
def test_invalid_setting_exits_2_with_one_line(argv: list[str], line: str) -> None:
    done = run(*argv)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"pinecone-token-operator: {line}\n"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--help"], ["run", "check", "--version"]),
        (["run", "--help"], ["--token-url", "PTO_TOKEN_URL", "exit codes"]),
        (["sidecar", "--help"], ["--output-dir", "PTO_OUTPUT_DIR", "PINECONE_CLIENT_ID"]),
        (["check", "-h"], ["--namespace", "--no-ask-token-endpoint"]),
        (["--version"], ["pinecone-token-operator "]),
    ],
)
def test_help_and_version_are_printed_to_stdout(argv: list[str], words: list[str]) -> None:
    done = start(*argv)
    assert (done.returncode, done.stderr) == (0, "")
    for word in words:
        assert word in done.stdout


@pytest.mark.parametrize("argv", [["run", "--bad"], ["check", "--bad"], ["sidecar", "--bad"]])
def test_command_line_error_is_reported_before_heavy_imports(argv: list[str]) -> None:
    program = (
        "import sys; from pinecone_token_operator.cli.main import main; main(sys.argv[1:]);"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert start(*argv, program=f"-c {program}").stdout == "[]\n"


@pytest.mark.parametrize("command", ["run --audience=a", "check --namespace=a --name=b"])
def test_unusable_proxy_exits_2_without_its_password(command: str) -> None:
    done = run(*command.split(), HTTPS_PROXY="socks5://me:hunter2@127.0.0.1:1")
    assert done.returncode == 2
    assert done.stderr == (
        "pinecone-token-operator: HTTPS_PROXY: SOCKS proxies are not supported; use an"
        " http or https proxy\n"
    )


def test_unknown_variable_is_reported_and_ignored() -> None:
    environ = {
        "PTO_AUDIENCE": "a",
        "PTO_NAMESPACES": "only-this-one",
        "PTO_PORT_80_TCP": "tcp://10.0.0.1:80",  # of a Service called pto
        "PTO_KUBECONFIG": __file__,  # which is no kubeconfig
    }
    done = start("run", "--log-format=text", **environ)
    assert done.returncode == 3
    first, second = done.stderr.splitlines()
    assert first.endswith("Ignoring unknown environment variable PTO_NAMESPACES; see run --help")
    assert "The kubeconfig" in second


def test_interrupted_check_exits_130_without_a_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        kubeconfig = tmp_path / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": url}}
        context = {"name": "c", "context": {"cluster": "c", "user": ""}}
        config = {"clusters": [cluster], "contexts": [context], "current-context": "c"}
        kubeconfig.write_text(json.dumps(config))
        command = [sys.executable, "-m", "pinecone_token_operator", "check", "--namespace=a"]
        command += ["--name=b", f"--kubeconfig={kubeconfig}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            silent.settimeout(30)
            try:
                connection, _ = silent.accept()
                with connection:
                    process.send_signal(signal.SIGINT)
                    assert process.communicate(timeout=30)[1] == ""
            finally:
                process.kill()  # else one that hangs is waited for
    assert process.returncode == 130
