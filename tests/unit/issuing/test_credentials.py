import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.errors import CredentialsInvalid
from pinecone_token_operator.issuing.credentials import (
    Credentials,
    fingerprint,
    fingerprint_source,
    read_credentials,
)


def encode(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        pytest.param("s3cret", "s3cret", id="plain value"),
        pytest.param("s3cret\n", "s3cret", id="newline of echo"),
        pytest.param("\t s3cret \r\n", "s3cret", id="surrounding white space"),
        pytest.param("\ufeffs3cret\r\n", "s3cret", id="byte order mark"),
        pytest.param("a b", "a b", id="inner white space"),
    ],
)
def test_credentials_are_stripped_of_surrounding_space(stored: str, read: str) -> None:
    credentials = read_credentials({"id": encode("me"), "key": encode(stored)}, "id", "key")
    assert credentials == Credentials("me", read)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param({}, "'key' is missing", id="missing key"),
        pytest.param({"key": ""}, "'key' .* blank", id="empty value"),
        pytest.param({"key": encode(" \n")}, "'key' .* blank", id="white space"),
        pytest.param({"key": "!s3cret!"}, "'key' .* base64", id="not base64"),
        pytest.param({"key": "é"}, "'key' .* base64", id="base64 beyond ASCII"),
        pytest.param({"key": encode(b"s3cret\xff")}, "'key' .* UTF-8", id="not UTF-8"),
    ],
)
def test_unusable_credentials_are_refused_without_quoting(data: dict[str, str], words: str) -> None:
    with pytest.raises(CredentialsInvalid, match=words) as caught:
        read_credentials({"id": encode("me"), **data}, "id", "key")
    assert "s3cret" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_credentials_repr_shows_neither_part() -> None:
    assert repr(Credentials("me", "s3cret")) == "Credentials()"


@given(st.text(), st.text(), st.text(), st.text())
def test_credentials_are_part_of_what_was_stored(
    client_id: str, secret: str, id_key: str, secret_key: str
) -> None:
    data = {id_key: encode(client_id), secret_key: encode(secret)}
    try:
        credentials = read_credentials(data, id_key, secret_key)
    except CredentialsInvalid:
        return
    if id_key != secret_key:
        assert credentials.client_id in client_id
    assert credentials.client_secret in secret
    assert credentials.client_secret == credentials.client_secret.strip() != ""


parts = st.tuples(*[st.text(alphabet="ab:", max_size=3)] * 5)


@given(parts, parts)
def test_fingerprints_are_equal_only_for_equal_inputs(
    one: tuple[str, str, str, str, str], other: tuple[str, str, str, str, str]
) -> None:
    def of(values: tuple[str, str, str, str, str]) -> str:
        client_id, secret, uid, audience, url = values
        return fingerprint(Credentials(client_id, secret), "u" + uid, audience, url)

    assert (of(one) == of(other)) == (one == other)


def test_fingerprint_is_stable_across_releases() -> None:
    found = fingerprint(Credentials("me", "s3cret"), "uid", "https://a/", "https://t/")
    assert len(found) == 32
    assert int(found, 16) >= 0
    assert found == "12a34fbe74b10fb5ddaf81380711d88a"


sources = st.lists(st.text(alphabet="ab:", max_size=3), max_size=4)


@given(parts, sources, parts, sources)
def test_fingerprint_sources_are_equal_only_for_equal_inputs(
    one: tuple[str, str, str, str, str],
    source: list[str],
    other: tuple[str, str, str, str, str],
    other_source: list[str],
) -> None:
    found = fingerprint_source(one[0], "u" + one[1], source)
    other_found = fingerprint_source(other[0], "u" + other[1], other_source)
    assert (found == other_found) == ((one[:2], source) == (other[:2], other_source))


def test_fingerprint_source_is_stable_across_releases() -> None:
    """It may change together with what a Secret's fingerprint is; that costs reads."""
    found = fingerprint_source("12a34fbe74b10fb5ddaf81380711d88a", "uid", ("shop", "account", "7"))
    assert found == "35bbfea057b2e6bf348f5cbd9ff955a1"
