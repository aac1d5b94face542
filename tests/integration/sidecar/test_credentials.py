"""Credentials that change while the sidecar runs."""

from pathlib import Path

import pytest

from tests.integration.sidecar.conftest import StartSidecar
from tests.support.leaks import find_leaks
from tests.support.sidecar_process import CLIENT, SECRET, mount_secret, write_credentials
from tests.support.token_endpoint import TokenEndpoint

NEW = "rotated-secret-not-to-be-shown"
PAIR = {"client_id": CLIENT, "client_secret": f"{SECRET}\n"}


def test_rotated_files_cause_an_exchange_at_once(
    sidecar: StartSidecar, endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    credentials = write_credentials(tmp_path / "credentials")
    one = sidecar(f"--credentials-dir={credentials}", environ={})
    first = one.wait_for_token()
    write_credentials(credentials, NEW)
    one.wait(lambda: one.token() != first, "a token for the new credentials")

    assert endpoint.exchanges == 2
    assert find_leaks({"log": one.text()}, [NEW]) == []


def test_mounted_secret_is_followed_and_read_as_a_pair(
    sidecar: StartSidecar, endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    endpoint.credentials = {CLIENT: SECRET}
    mount = mount_secret(tmp_path / "credentials", 1, PAIR)
    one = sidecar(f"--credentials-dir={mount}", environ={})
    first = one.wait_for_token()

    endpoint.credentials = {"other-client": NEW}
    mount_secret(mount, 2, {"client_id": "other-client", "client_secret": NEW})
    one.wait(lambda: one.token() != first, "a token for the new pair")
    assert [client for client, _ in endpoint.requests] == [CLIENT, "other-client"]


def test_wrong_pair_is_reported_and_the_token_kept(
    sidecar: StartSidecar, endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    endpoint.credentials = {CLIENT: SECRET}
    credentials = write_credentials(tmp_path / "credentials")
    one = sidecar(f"--credentials-dir={credentials}", "--health-address=127.0.0.1:0", environ={})
    first = one.wait_for_token()
    write_credentials(credentials, NEW)
    one.wait_for_line("check the client id and client secret in")

    assert one.token() == first
    assert one.get("/readyz")[0] == 200
    # The former pair is back, and the token is for it: nothing has to be fetched.
    write_credentials(credentials)
    one.wait(
        lambda: 'namespace="",reason="Succeeded"} 1.0' in one.get("/metrics")[1],
        "recovery",
    )
    assert len(endpoint.requests) == 2
    assert endpoint.exchanges == 1


def test_removed_files_are_reported_and_the_token_kept(
    sidecar: StartSidecar, endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    credentials = write_credentials(tmp_path / "credentials")
    one = sidecar(f"--credentials-dir={credentials}", environ={})
    first = one.wait_for_token()
    (credentials / "client_secret").unlink()
    one.wait_for_line("Cannot use the credentials")
    write_credentials(credentials)
    one.wait_for_line("The credentials can be used again")

    assert one.token() == first
    assert endpoint.exchanges == 1
    assert one.text().count("Cannot use the credentials") == 1


@pytest.mark.parametrize("variable", ["PINECONE_CLIENT_ID_FILE", "PINECONE_CLIENT_SECRET_FILE"])
def test_files_named_by_variables_are_followed(
    sidecar: StartSidecar, endpoint: TokenEndpoint, tmp_path: Path, variable: str
) -> None:
    credentials = write_credentials(tmp_path / "credentials")
    environ = {
        "PINECONE_CLIENT_ID_FILE": str(credentials / "client_id"),
        "PINECONE_CLIENT_SECRET_FILE": str(credentials / "client_secret"),
    }
    one = sidecar(environ=environ)
    first = one.wait_for_token()
    Path(environ[variable]).write_text("another")
    one.wait(lambda: one.token() != first, "a new token")
    assert endpoint.exchanges == 2
