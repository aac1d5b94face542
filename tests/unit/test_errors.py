import pytest

from pinecone_token_operator.errors import ApiError

PROPERTIES = (
    "not_found",
    "conflict",
    "gone",
    "invalid",
    "forbidden",
    "is_refusal",
    "is_transient",
)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(0, {"is_transient"}, id="no reply"),
        pytest.param(200, set(), id="a reply that is not JSON"),
        pytest.param(400, {"is_refusal"}, id="bad request"),
        pytest.param(401, set(), id="unauthorized"),
        pytest.param(403, {"forbidden", "is_refusal"}, id="forbidden"),
        pytest.param(404, {"not_found"}, id="not found"),
        pytest.param(409, {"conflict"}, id="conflict"),
        pytest.param(410, {"gone"}, id="gone"),
        pytest.param(413, {"is_refusal"}, id="too large"),
        pytest.param(422, {"invalid", "is_refusal"}, id="invalid"),
        pytest.param(429, {"is_transient"}, id="too many requests"),
        pytest.param(500, {"is_transient"}, id="internal error"),
        pytest.param(503, {"is_transient"}, id="unavailable"),
    ],
)
def test_api_error_is_classified_by_its_status(status: int, expected: set[str]) -> None:
    error = ApiError(status, "Reason", "message")
    assert {name for name in PROPERTIES if getattr(error, name)} == expected
