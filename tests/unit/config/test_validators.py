import contextlib
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.config import validators
from pinecone_token_operator.config.validators import InvalidValue

HOSTS = st.one_of(
    st.ip_addresses().map(lambda address: f"[{address}]" if address.version == 6 else str(address)),
    st.text(alphabet="ab0129.-_[]:%@\\\u212a", max_size=20),
    st.lists(st.integers(0, 300).map(str), min_size=1, max_size=5).map(".".join),
)


@given(HOSTS, st.integers(-1, 70_000) | st.none(), st.text(max_size=5))
def test_httpx_accepts_every_accepted_token_url(host: str, port: int | None, path: str) -> None:
    text = f"https://{host}" + ("" if port is None else f":{port}") + f"/{path}"
    accepted = ""
    with contextlib.suppress(InvalidValue):
        accepted = validators.token_url(text)
    if accepted:
        url = httpx.URL(accepted)
        assert url.scheme == "https"
        assert url.host
        url.host.encode("idna")  # as resolvers do


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://256.1.1.1/", id="mistyped address"),
        pytest.param("https://1.2.3/", id="short address"),
        pytest.param("https://a..b/", id="empty label"),
        pytest.param(f"https://{'a' * 64}.example/", id="long label"),
        pytest.param("https://-a.example/", id="hyphen at the start"),
        pytest.param("https://a%2eb/", id="percent-encoded host"),
        pytest.param("https://a.example:0/", id="port zero"),
    ],
)
def test_token_url_with_an_impossible_host_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue, match="host or port"):
        validators.token_url(url)


def test_ca_directory_needs_certificates_with_hashed_names(tmp_path: Path) -> None:
    empty, filled = tmp_path / "empty", tmp_path / "filled"
    empty.mkdir()
    filled.mkdir()
    (filled / "0a1b2c3d.0").touch()
    (empty / "ca.pem").touch()
    both = f"{tmp_path / 'missing'}:{empty}:{filled}"
    assert validators.ca_directory(both) == both
    for directory in (str(empty), str(tmp_path / "missing")):
        with pytest.raises(InvalidValue, match="openssl rehash"):
            validators.ca_directory(directory)


def test_appendable_file_is_created_if_it_can_be(tmp_path: Path) -> None:
    assert validators.appendable_file(str(tmp_path / "keys")) == tmp_path / "keys"
    with pytest.raises(InvalidValue, match="cannot be written: No such file or directory"):
        validators.appendable_file(str(tmp_path / "missing" / "keys"))
