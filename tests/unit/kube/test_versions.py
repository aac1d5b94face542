import pytest

from pinecone_token_operator.kube.versions import is_newer


@pytest.mark.parametrize(
    ("version", "other", "newer"),
    [("8", "7", True), ("7", "8", False), ("7", "7", False), ("10", "9", True), ("9", "10", False)],
)
def test_versions_compare_as_numbers(version: str, other: str, *, newer: bool) -> None:
    assert is_newer(version, other) is newer
