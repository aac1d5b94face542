"""Colors and widths on a real terminal, and wrong input."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.api import Kube
from tests.support.chart import service_account_token
from tests.support.cluster import Cluster
from tests.support.kubeconfig import write_kubeconfig
from tests.support.kubectl_plugin import PLUGIN, Plugin
from tests.support.token_endpoint import TokenEndpoint

NAME = "search"
ESCAPE = "\x1b["
RED_UNKNOWN = f"{ESCAPE}31mUnknown{ESCAPE}0m"
WIDE = 300


def on_terminal(
    cluster: Cluster, *arguments: str, columns: int = WIDE, environ: Mapping[str, str] | None = None
) -> str:
    """Run the plugin on a terminal and return what it shows."""
    command = [str(PLUGIN), *arguments, f"--kubeconfig={cluster.kubeconfig}"]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 50, columns, 0, 0))
    environ = {"HOME": "/nonexistent", "TERM": "xterm-256color", **(environ or {})}
    try:
        with subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs):
            os.close(theirs)
            shown = bytearray()
            with contextlib.suppress(OSError):  # EIO: nobody has the other end open any more
                while part := os.read(ours, 65_536):
                    shown += part
    finally:
        os.close(ours)
    return shown.decode().replace("\r\n", "\n")


@pytest.fixture
def resource(kube: Kube, namespace: str) -> str:
    """Create a resource that no operator serves, and return its namespace."""
    kube.create_token(namespace, NAME)
    return namespace


def test_status_is_colored_on_a_terminal(cluster: Cluster, resource: str) -> None:
    table = on_terminal(cluster, "status", "-n", resource)
    screen = on_terminal(cluster, "status", NAME, "-n", resource)
    found = on_terminal(cluster, "doctor", "-n", resource)

    assert RED_UNKNOWN in table
    assert f"{ESCAPE}1mCONDITIONS{ESCAPE}0m" in screen
    assert f"{ESCAPE}31mERROR  {ESCAPE}0m" in found


@pytest.mark.usefixtures("resource")
def test_output_is_plain_in_a_pipe(plugin: Plugin) -> None:
    for command in (["status"], ["status", NAME], ["doctor"]):
        done = plugin.run(*command, TERM="xterm-256color", FORCE_COLOR="1")

        assert ESCAPE not in done.stdout
        assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("environ", "is_colored"),
    [
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),  # https://no-color.org: when not an empty string
        ({"TERM": "dumb"}, False),
    ],
)
def test_environment_turns_colors_off(
    environ: dict[str, str], is_colored: bool, cluster: Cluster, resource: str
) -> None:
    shown = on_terminal(cluster, "status", "-n", resource, environ=environ)

    assert (ESCAPE in shown) is is_colored
    assert "Unknown" in shown


def test_rows_are_cut_to_the_width_of_the_terminal(cluster: Cluster, resource: str) -> None:
    shown = on_terminal(cluster, "status", "-n", resource, columns=40)

    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown.splitlines()]
    assert len(plain) == 2
    assert all(len(line) <= 40 and line.endswith("…") for line in plain)


def test_json_has_no_colors_on_a_terminal(cluster: Cluster, resource: str) -> None:
    assert ESCAPE not in on_terminal(cluster, "status", "-o", "json", "-n", resource)


def assert_fails(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("kubectl pinecone-token: ")
    assert done.stderr.count("\n") == 1
    for text in texts:
        assert text in done.stderr


@pytest.mark.parametrize("command", ["status", "refresh", "suspend", "resume", "print", "doctor"])
def test_unknown_resource_fails_in_one_line(command: str, plugin: Plugin) -> None:
    assert_fails(plugin.run(command, "none"), 3, '"none" not found (404 NotFound)\n')


def test_missing_permission_fails_in_one_line(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    cluster.kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    user = {"token": service_account_token(cluster, namespace, "nobody")}
    path = write_kubeconfig(tmp_path / "kubeconfig", cluster.url, cluster.ca_file, user)

    done = Plugin(path, tmp_path, namespace).run("status")

    assert_fails(done, 3, "pineconeaccesstokens", "is forbidden", "(403 Forbidden)\n")


def test_server_that_is_no_api_server_fails_in_one_line(
    endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    url = endpoint.url.removesuffix("/oauth/token")
    path = write_kubeconfig(tmp_path / "kubeconfig", url, Path(endpoint.ca_bundle), {"token": "x"})

    assert_fails(Plugin(path, tmp_path, "default", forked=True).run("status"), 3)


def test_missing_kubeconfig_fails_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "none"

    done = Plugin(path, tmp_path, "default", forked=True).run("doctor")

    assert_fails(done, 2, f"there is no kubeconfig at {path}; use --kubeconfig FILE")
