from pathlib import Path

import pytest

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube import auth, pod
from pinecone_token_operator.kube.pod import NotInPodError, PodConfiguration
from pinecone_token_operator.kube.timing import Timing

ENVIRON = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of the service account, with its files."""
    monkeypatch.setattr(pod, "DIRECTORY", tmp_path)
    (tmp_path / "ca.crt").write_text("a CA", "utf-8")
    (tmp_path / "token").write_text("first\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("host", "url"),
    [("10.0.0.1", "https://10.0.0.1:443"), ("fd00:10::1", "https://[fd00:10::1]:443")],
    ids=["IPv4", "IPv6"],
)
def test_pod_finds_the_api_server(host: str, url: str, directory: Path) -> None:
    found = PodConfiguration({**ENVIRON, "KUBERNETES_SERVICE_HOST": host})
    assert found.host == url
    assert found.ssl_ca_cert == str(directory / "ca.crt")


async def test_pod_authenticates_with_the_current_token(directory: Path) -> None:
    found = PodConfiguration(ENVIRON)
    assert await found.get_api_key_with_prefix("BearerToken") == "Bearer first"
    (directory / "token").write_text("second", "utf-8")
    await found.reload()
    assert await found.get_api_key_with_prefix("BearerToken") == "Bearer second"


@pytest.mark.parametrize("name", ENVIRON)
@pytest.mark.parametrize("value", [None, ""])
def test_missing_variable_means_no_pod(name: str, value: str | None) -> None:
    environ = {other: text for other, text in ENVIRON.items() if other != name}
    environ |= {} if value is None else {name: value}
    with pytest.raises(NotInPodError, match=name):
        PodConfiguration(environ)


@pytest.mark.parametrize("name", ["ca.crt", "token"])
def test_missing_or_empty_file_means_no_service_account(name: str, directory: Path) -> None:
    (directory / name).write_text("\n", "utf-8")
    with pytest.raises(NotInPodError, match=f"{name} is empty"):
        PodConfiguration(ENVIRON)
    (directory / name).unlink()
    with pytest.raises(NotInPodError, match=f"{name} does not exist"):
        PodConfiguration(ENVIRON)


async def test_unusable_ca_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ApiError, match=r"service account in .* cannot be used") as caught:
        await auth.find_access(None, None, Timing())
    assert caught.value.reason == "NotConfigured"
