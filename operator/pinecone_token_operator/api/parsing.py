"""Reads objects of the API group into models. No I/O."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from pinecone_token_operator.api.group import Kind
from pinecone_token_operator.errors import ResourceInvalid

T = TypeVar("T")


def parse(model: TypeAdapter[T], obj: Mapping[str, Any], kind: Kind) -> T:
    """Read an object as the API server sends it; unknown fields are ignored.

    Raises:
        ResourceInvalid: a field is missing or cannot be used; the message names each such field and
            what to do, and never what the field held.
    """
    try:
        return model.validate_python(dict(obj))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    # Raised out here, so that pydantic's error, which keeps the input, is not chained as context.
    raise ResourceInvalid(
        "; ".join(f"{_path(fault['loc'])} {_sentence(fault['msg'])}" for fault in faults)
        + f"; for the schema see kubectl explain {kind.plural} --recursive"
    )


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in location)


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return "is required" if message == "Field required" else message
