"""Reads the API server's replies. No I/O."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pinecone_token_operator.errors import ApiError

MAX_MESSAGE: Final = 300


def parse_object(status: int, content: bytes) -> dict[str, Any]:
    """Return the object in a reply or in a line of a watch.

    Raises:
        ApiError: it is not a JSON object; the reason is `InvalidReply`.
    """
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:  # the latter from a page of brackets
        raise ApiError(status, "InvalidReply", "The reply is not JSON") from error
    if not isinstance(parsed, dict):
        raise ApiError(status, "InvalidReply", "The reply is not a JSON object")
    return parsed


def is_status(content: bytes) -> bool:
    """Return whether an error reply is the API server's own, not a proxy's page."""
    try:
        return parse_object(0, content).get("kind") == "Status"
    except ApiError:
        return False


def error_from_reply(status: int, content: bytes) -> ApiError:
    """Return an error reply as an error; a proxy's page is described in our own words.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
    """
    try:
        reply = parse_object(status, content)
    except ApiError:
        reply = {}
    try:
        phrase = HTTPStatus(status).phrase.replace(" ", "")
    except ValueError:
        phrase = "Unknown"
    return ApiError(
        status,
        _one_line(reply.get("reason")) or phrase,
        _one_line(reply.get("message")) or "The reply is not a Status object",
    )


def error_from_event(status: object) -> ApiError:
    """Return the Status in an ERROR event of a watch as an error."""
    if not isinstance(status, dict):
        return ApiError(HTTPStatus.OK, "InvalidReply", "An event of the watch is malformed")
    code = status.get("code")
    return ApiError(
        code if isinstance(code, int) else 0,
        _one_line(status.get("reason")) or "Unknown",
        _one_line(status.get("message")),
    )


def version_of_list(page: Mapping[str, Any]) -> str:
    """Return the resourceVersion of a list, from any of its pages.

    Raises:
        ApiError: it is not a list; the reason is `InvalidReply`.
    """
    metadata = page.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not isinstance(version, str):
        raise ApiError(HTTPStatus.OK, "InvalidReply", "The reply is not a list")
    return version


def _one_line(text: object) -> str:
    """Return a text that can be logged: a webhook's message has any length and line breaks."""
    return " ".join(text[:MAX_MESSAGE].split()) if isinstance(text, str) else ""
