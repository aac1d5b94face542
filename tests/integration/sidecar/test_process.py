"""The sidecar as a process: start, restart, faults, stop, exit codes, cost."""

import contextlib
import http.client
import os
import re
import socket
import stat
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from pinecone_token_operator.cli.main import main
from tests.integration.sidecar.conftest import StartSidecar
from tests.support.forked_process import run_forked
from tests.support.sidecar_process import VARIABLES, Sidecar, write_credentials
from tests.support.token_endpoint import TokenEndpoint

HEALTH = "--health-address=127.0.0.1:0"
# In an environment with only the dependencies of the image it is less; see docs/sidecar.md.
MAX_MEGABYTES = 45
MAX_CPU_SECONDS = 0.5


def test_first_token_is_written_with_all_keys(
    sidecar: StartSidecar, endpoint: TokenEndpoint
) -> None:
    one = sidecar(HEALTH, "--template=authorization=Bearer ${access_token}", forked=False)
    token = one.wait_for_token()
    one.wait_for_line("Wrote a token")

    assert endpoint.tokens == [token]
    assert (one.output / "authorization").read_text() == f"Bearer {token}"
    assert (one.output / "token_type").read_text() == "Bearer"
    expiry = datetime.fromisoformat((one.output / "expires_at").read_text()).timestamp()
    assert expiry - time.time() == pytest.approx(endpoint.lifetime, abs=5)
    assert stat.S_IMODE((one.output / "access_token").stat().st_mode) == 0o640
    assert [one.get(path)[0] for path in ("/startup", "/livez", "/readyz")] == [200] * 3
    assert 'pinecone_token_exchanges_total{result="success"} 1.0' in one.get("/metrics")[1]
    assert "pinecone_token_leader" not in one.get("/metrics")[1]
    assert one.get("/nothing")[0] == 404


def test_token_is_refreshed_before_it_expires(
    sidecar: StartSidecar, endpoint: TokenEndpoint
) -> None:
    endpoint.lifetime = 6
    one = sidecar()
    first = one.wait_for_token()
    one.wait(lambda: one.token() != first, "a refresh")

    used = endpoint.issued[first]
    assert time.monotonic() < used.expires_at


def test_restart_with_a_valid_token_needs_no_exchange(
    sidecar: StartSidecar, endpoint: TokenEndpoint
) -> None:
    one = sidecar(HEALTH)
    token = one.wait_for_token()
    one.wait_for_line("Wrote a token")
    version = (one.output / "..data").readlink()
    for end in (one.kill, one.stop):
        end()
        one.start()
        one.wait_for_line("Found a token")
        one.wait(lambda: one.get("/startup")[0] == 200, "a start")

    assert endpoint.exchanges == 1
    assert one.token() == token
    assert (one.output / "..data").readlink() == version


def test_changed_template_is_applied_without_an_exchange(
    tmp_path: Path, endpoint: TokenEndpoint
) -> None:
    output = f"--output-dir={tmp_path / 'token'}"
    with Sidecar(endpoint, tmp_path, output, forked=True) as before:
        before.wait_for_token()
    template = "--template=x=${expires_at_unix}"
    with Sidecar(endpoint, tmp_path, output, template, forked=True) as after:
        after.wait((after.output / "x").exists, "the new file")
        assert (after.output / "x").read_text().isdigit()
    assert endpoint.exchanges == 1


def test_damaged_files_are_restored_without_an_exchange(
    sidecar: StartSidecar, endpoint: TokenEndpoint
) -> None:
    one = sidecar()
    token = one.wait_for_token()
    one.wait_for_line("Wrote a token")
    one.output.rename(one.output.with_name("moved"))
    one.wait_for_line("were changed or removed; restoring them")

    assert one.wait_for_token() == token
    assert endpoint.exchanges == 1


def test_endpoint_that_is_down_at_start_is_retried(
    sidecar: StartSidecar, endpoint: TokenEndpoint
) -> None:
    endpoint.mode = "down"
    one = sidecar(HEALTH)
    one.wait_for_line("Failed to fetch a token")
    assert [one.get(path)[0] for path in ("/startup", "/livez", "/readyz")] == [503, 200, 503]
    assert "could not connect" in one.get("/readyz")[1]

    endpoint.mode = "ok"
    one.wait_for_token()
    one.wait(lambda: one.get("/readyz")[0] == 200, "readiness")


def test_endpoint_failure_keeps_the_current_token(
    sidecar: StartSidecar, endpoint: TokenEndpoint
) -> None:
    endpoint.lifetime = 6
    one = sidecar(HEALTH)
    first = one.wait_for_token()
    endpoint.mode = "503-html"
    one.wait_for_line("the current token expires at")
    assert one.token() == first
    assert one.get("/readyz")[0] == 200

    one.wait(lambda: one.get("/readyz")[0] == 503, "expiry")
    assert one.get("/startup")[0] == 200
    one.wait_for_line("there is no valid token")
    one.wait(
        lambda: 'token_ready{kind="",name="",namespace=""} 0.0' in one.get("/metrics")[1],
        "a sample",
    )
    endpoint.mode = "ok"
    one.wait(lambda: one.token() != first, "recovery")


def test_unwritable_directory_keeps_the_token_pending(
    sidecar: StartSidecar, endpoint: TokenEndpoint
) -> None:
    endpoint.lifetime = 6
    one = sidecar("--token-address=127.0.0.1:0")
    first = one.wait_for_token()
    one.wait_for_line("Wrote a token")
    # Neither root nor another user can create a file below a file.
    moved = one.output.rename(one.output.with_name("moved"))
    one.output.write_text("in the way")
    one.wait_for_line("Cannot write to")
    one.wait(lambda: one.ask()[1].get("access_token") != first, "a refresh that is served")
    one.output.unlink()
    moved.rename(one.output)

    one.wait(lambda: one.token() in endpoint.tokens[1:], "the pending token")


def test_health_address_without_host_is_reached_by_ipv4(sidecar: StartSidecar) -> None:
    one = sidecar("--health-address=:0")
    one.wait_for_line("Serving probes")
    one.wait_for_token()
    found = re.search(r"Serving probes and metrics on \S+:(\d+)", one.text())
    assert found

    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(found[1]))) as client:
        client.request("GET", "/startup")
        assert client.getresponse().status == 200


@pytest.mark.parametrize("when", ["idle", "exchanging", "starting"])
def test_sigterm_exits_0_within_a_second(
    sidecar: StartSidecar, endpoint: TokenEndpoint, when: str
) -> None:
    if when == "exchanging":
        endpoint.mode = "hang"
    one = sidecar(HEALTH, "--token-address=127.0.0.1:0", forked=False)
    if when == "idle":
        one.wait_for_token()
        one.get("/metrics")
    elif when == "exchanging":
        one.wait(lambda: bool(endpoint.requests), "a request")
    else:
        # Its modules are being imported: they are what takes time.
        one.wait(lambda: "/_asyncio." in libraries(one), "imports")
    code, seconds = one.stop()

    assert code == 0
    assert seconds < 1.0
    if when != "starting":
        assert one.messages()[-1] == "Stopped"


def libraries(one: Sidecar) -> str:
    assert one.process is not None
    return Path(f"/proc/{one.process.pid}/maps").read_text()


def cpu_seconds(one: Sidecar) -> float:
    assert one.process is not None
    fields = Path(f"/proc/{one.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_start_costs_little_time_and_memory(sidecar: StartSidecar) -> None:
    one = sidecar(HEALTH, "--token-address=127.0.0.1:0", forked=False)
    one.wait_for_token()
    spent = cpu_seconds(one)
    one.ask()
    one.get("/metrics")
    assert one.process is not None
    status = Path(f"/proc/{one.process.pid}/status").read_text()
    (resident,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))

    print(f"{spent:.2f} s of CPU to the first token, {int(resident) / 1024:.1f} MB resident")
    assert spent < MAX_CPU_SECONDS
    assert int(resident) / 1024 < MAX_MEGABYTES


def test_sidecar_loads_no_library_of_the_operator() -> None:
    code = (
        "import sys; import pinecone_token_operator.runtime.sidecar.manager; "
        "print(*{'aiohttp', 'kopf', 'kubernetes', 'pydantic', 'yaml'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


# Once


def test_one_time_writes_the_token_and_exits_0(
    sidecar: StartSidecar, endpoint: TokenEndpoint
) -> None:
    one = sidecar("--one-time", forked=False)
    assert one.exit_code() == 0
    assert one.token() == endpoint.tokens[0]

    one.start()
    assert one.exit_code() == 0
    assert endpoint.exchanges == 1


def test_one_time_retries_until_its_timeout(sidecar: StartSidecar, endpoint: TokenEndpoint) -> None:
    endpoint.mode = "503-html"
    one = sidecar("--one-time", "--timeout=2")
    assert one.exit_code() == 3
    assert any("No token was written" in line for line in one.messages())

    patient = sidecar("--one-time")
    patient.wait_for_line("Failed to fetch a token")
    endpoint.mode = "ok"
    assert patient.exit_code() == 0


def test_one_time_gives_up_at_once_when_rejected(
    sidecar: StartSidecar, endpoint: TokenEndpoint
) -> None:
    endpoint.credentials = {}
    one = sidecar("--one-time")
    assert one.exit_code() == 3
    assert len(endpoint.requests) == 1


def test_stopped_one_time_does_not_exit_0(sidecar: StartSidecar, endpoint: TokenEndpoint) -> None:
    endpoint.mode = "hang"
    one = sidecar("--one-time", forked=False)
    one.wait(lambda: bool(endpoint.requests), "a request")
    assert one.stop()[0] == 3


# Bad input


def refused(*options: str, environ: dict[str, str] | None = None) -> str:
    variables = VARIABLES if environ is None else environ
    done = run_forked(main, ["sidecar", *options], {"PATH": os.environ["PATH"], **variables})
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    return lines[0].removeprefix("pinecone-token-operator: ")


@pytest.mark.parametrize("flag", ["--token-address", "--health-address"])
def test_address_in_use_exits_2_and_writes_nothing(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(f"--output-dir={tmp_path / 'x'}", f"{flag}=127.0.0.1:{port}")
    assert line == (
        f"{flag}: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "use another address or port"
    )
    assert list(tmp_path.iterdir()) == []


def test_address_of_another_machine_exits_2() -> None:
    line = refused("--output-dir=/tmp", "--health-address=192.0.2.1:8081")
    assert "cannot listen on 192.0.2.1:8081" in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "client_secret does not exist", id="missing"),
        pytest.param(b" \n", "client_secret is blank", id="blank"),
        pytest.param(b"\xff\xfe", "client_secret is not UTF-8", id="binary"),
        pytest.param(b"x" * 70_000, "client_secret is longer than 64 KiB", id="too long"),
    ],
)
def test_unusable_credentials_exit_2_and_write_nothing(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    credentials = write_credentials(tmp_path / "credentials")
    (credentials / "client_secret").unlink()
    if content is not None:
        (credentials / "client_secret").write_bytes(content)
    line = refused(f"--output-dir={tmp_path / 'x'}", f"--credentials-dir={credentials}", environ={})
    assert words in line
    assert not (tmp_path / "x").exists()


def test_pipe_as_credentials_exits_2(tmp_path: Path) -> None:
    credentials = write_credentials(tmp_path / "credentials")
    (credentials / "client_secret").unlink()
    os.mkfifo(credentials / "client_secret")
    line = refused("--output-dir=/tmp", f"--credentials-dir={credentials}", environ={})
    assert "is not a regular file" in line


def test_directory_of_others_exits_2_and_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    line = refused(f"--output-dir={tmp_path}")
    assert "was not written by this program; use another directory" in line
    assert [path.name for path in tmp_path.iterdir()] == ["..data"]


def test_directory_of_another_sidecar_exits_2(sidecar: StartSidecar) -> None:
    one = sidecar()
    one.wait_for_token()
    assert "another process of this program" in refused(f"--output-dir={one.output}")


def test_blank_variable_exits_2() -> None:
    line = refused("--output-dir=/tmp", environ={**VARIABLES, "PINECONE_CLIENT_SECRET": " "})
    assert line.startswith("PINECONE_CLIENT_SECRET is blank")


def test_source_directory_without_token_exits_2(tmp_path: Path) -> None:
    options = (f"--source-dir={tmp_path}", "--token-address=127.0.0.1:0")
    assert "has no file access_token; mount the target Secret" in refused(*options, environ={})
    (tmp_path / "access_token").write_text("x")
    (tmp_path / "expires_at").write_text("soon")
    assert "holds no usable token" in refused(*options, environ={})
