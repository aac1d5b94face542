"""What the API server's replies say. No I/O."""

import json
from http import HTTPStatus
from typing import Any, Final

from pinecone_token_operator.errors import ApiError

MAX_MESSAGE: Final = 300


def parse_object(status: int, content: bytes) -> dict[str, Any]:
    """Return the object that a reply, or an event of a watch, holds.

    Raises:
        ApiError: it holds none; the reason is `InvalidReply`.
    """
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:  # the latter from a page of brackets
        raise ApiError(status, "InvalidReply", "The reply is not JSON") from error
    if not isinstance(parsed, dict):
        raise ApiError(status, "InvalidReply", "The reply is not a JSON object")
    return parsed


def refusal(status: int, content: bytes) -> ApiError:
    """Return the Status object as an error; a proxy's page is told in our own words.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
    """
    try:
        told = parse_object(status, content)
    except ApiError:
        told = {}
    try:
        phrase = HTTPStatus(status).phrase.replace(" ", "")
    except ValueError:
        phrase = "Unknown"
    return ApiError(
        status,
        _one_line(told.get("reason")) or phrase,
        _one_line(told.get("message")) or "The reply is not a Status object",
    )


def _one_line(text: object) -> str:
    """Return what may be told of a text: a webhook's message has any length and line breaks."""
    return " ".join(text[:MAX_MESSAGE].split()) if isinstance(text, str) else ""
