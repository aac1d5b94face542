"""Parts that the kinds of the API group share. No I/O.

Names and defaults are those of the CRDs, which a test compares with these. The API server has
validated the rest already: nothing here repeats a pattern or a length.
"""

import hashlib
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass

from pinecone_token_operator.api.group import REFRESH_REQUESTED_AT
from pinecone_token_operator.api.placeholders import check_placeholders
from pinecone_token_operator.config.durations import parse_duration

_MAX_REQUEST: Final = 128  # characters; the CRD's limit of status.lastHandledRefreshRequest


class CreationPolicy(StrEnum):
    """Who creates the target Secret."""

    OWNER = "Owner"
    MERGE = "Merge"


class DeletionPolicy(StrEnum):
    """What happens to the token when the resource is deleted."""

    DELETE = "Delete"
    RETAIN = "Retain"


# Slotted dataclasses, because a pydantic model takes five times the memory.
CONFIG: Final = ConfigDict(
    extra="ignore",
    alias_generator=to_camel,
    validate_by_alias=True,
    validate_by_name=True,
    hide_input_in_errors=True,
)


Shared = Annotated[str, AfterValidator(sys.intern)]
"""A text that occurs in other objects, too; each parsed reply has its own."""


def reusing(default: object) -> AfterValidator:
    """Return a validator that replaces what equals a default by it.

    The API server writes defaults into each object, and each parsed reply has its own.
    """
    return AfterValidator(lambda value: default if value == default else value)


@dataclass(config=CONFIG, frozen=True, slots=True)
class CredentialsSecretRef:
    """Where the service account's client id and client secret are."""

    name: str
    client_id_key: Shared = Field(default="client_id", alias="clientIDKey")
    client_secret_key: Shared = Field(default="client_secret", alias="clientSecretKey")


@dataclass(config=CONFIG, frozen=True, slots=True)
class TemplateMetadata:
    """Labels and annotations of the target Secret, besides the operator's own."""

    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


# As factories, so that all resources share one object: pydantic would copy a default.
_NO_METADATA: Final = TemplateMetadata()


@dataclass(config=CONFIG, frozen=True, slots=True)
class Template:
    """What the target Secret holds besides the token."""

    type: str = "Opaque"
    metadata: TemplateMetadata = Field(default_factory=lambda: _NO_METADATA)
    data: dict[str, Annotated[str, AfterValidator(check_placeholders)]] = Field(
        default_factory=dict, repr=False
    )


NO_TEMPLATE: Final = Template()


@dataclass(config=CONFIG, frozen=True, slots=True)
class Target:
    """The Secret that the token is written to."""

    name: str | None = None
    creation_policy: CreationPolicy = CreationPolicy.OWNER
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    template: Annotated[Template, reusing(NO_TEMPLATE)] = Field(default_factory=lambda: NO_TEMPLATE)

    @property
    def merges(self) -> bool:
        """Return whether the token is merged into a Secret that another writer created."""
        return self.creation_policy is CreationPolicy.MERGE

    @property
    def deletes(self) -> bool:
        """Return whether the token is deleted with the resource."""
        return self.deletion_policy is DeletionPolicy.DELETE


NO_TARGET: Final = Target()


def _duration(value: object) -> object:
    # pydantic itself would take numbers and ISO 8601 periods.
    if value is None or isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError("is not a string: use a duration such as 10m")  # noqa: TRY004 - pydantic's protocol
    return parse_duration(value, "1s", "24h")


Duration = Annotated[timedelta | None, BeforeValidator(_duration)]
"""A duration such as 1h30m, from 1s to 24h."""


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range: use a time between the years 2 and 9998") from None


def _read_annotations(annotations: object) -> object:
    # An annotation can have 256 kB; only one is ever read, and only that is kept in memory.
    if not isinstance(annotations, Mapping):
        return annotations
    return {name: annotations[name] for name in (REFRESH_REQUESTED_AT,) if name in annotations}


@dataclass(config=CONFIG, frozen=True, slots=True)
class Metadata:
    """The part of an object's metadata that the operator reads."""

    name: str
    uid: Shared
    creation_timestamp: Annotated[AwareDatetime, AfterValidator(_utc)]
    namespace: Shared = ""
    generation: int = 0
    resource_version: str = ""
    annotations: Annotated[dict[str, str], BeforeValidator(_read_annotations)] = Field(
        default_factory=dict, repr=False
    )

    @property
    def refresh_request(self) -> str:
        """Return the value by which a user requests a refresh; empty if there is none.

        Of a value that is too long to be recorded, it is the SHA-256.
        """
        value = self.annotations.get(REFRESH_REQUESTED_AT, "").strip()
        if len(value) > _MAX_REQUEST:
            return hashlib.sha256(value.encode()).hexdigest()
        return value
