"""The resource as the operator reads it. No I/O.

Names and defaults are those of `crds/pineconeaccesstokens.yaml`, which a test compares with these.
The API server has checked the rest already: nothing here repeats a pattern or a length.
"""

import re
import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass

from pinecone_token_operator.config.durations import parse_duration
from pinecone_token_operator.errors import ResourceInvalid

GROUP = "pinecone.token-operator.dev"
VERSION = "v1alpha1"
PLURAL = "pineconeaccesstokens"
KIND = "PineconeAccessToken"
PREFIX = f"{GROUP}/"
"""What the operator's own labels and annotations begin with."""

PLACEHOLDERS = frozenset({"access_token", "token_type", "expires_at", "expires_at_unix"})
"""What `spec.target.template.data` may name as `${...}`."""

REFRESH_REQUESTED_AT = f"{PREFIX}refresh-requested-at"

# RFC 3339 section 5.6. `fromisoformat` alone also takes dates, week dates and local times.
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class CreationPolicy(StrEnum):
    """Who makes the target Secret."""

    OWNER = "Owner"
    MERGE = "Merge"


class DeletionPolicy(StrEnum):
    """What becomes of the token when the resource is deleted."""

    DELETE = "Delete"
    RETAIN = "Retain"


def _duration(value: object) -> object:
    # pydantic itself would take numbers and ISO 8601 periods.
    if value is None or isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError("is not a string: use a duration such as 10m")  # noqa: TRY004 - pydantic's protocol
    return parse_duration(value, "1s", "24h")


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range: use a moment between the years 2 and 9998") from None


# Dataclasses with slots, because a model of pydantic's takes five times the memory.
_CONFIG = ConfigDict(
    extra="ignore",
    alias_generator=to_camel,
    validate_by_alias=True,
    validate_by_name=True,
    hide_input_in_errors=True,
)


@dataclass(config=_CONFIG, frozen=True, slots=True)
class CredentialsSecretRef:
    """Where the service account's client id and client secret are."""

    name: str
    client_id_key: str = Field(default="client_id", alias="clientIDKey")
    client_secret_key: str = Field(default="client_secret", alias="clientSecretKey")


@dataclass(config=_CONFIG, frozen=True, slots=True)
class TemplateMetadata:
    """Labels and annotations of the target Secret, added to the operator's own."""

    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


def _known_placeholders(text: str) -> str:
    template = string.Template(text)
    if not template.is_valid() or not PLACEHOLDERS.issuperset(template.get_identifiers()):
        names = ", ".join(f"${{{name}}}" for name in sorted(PLACEHOLDERS))
        raise ValueError(f"has an unknown placeholder: use {names}, and $$ for one $")
    return text


@dataclass(config=_CONFIG, frozen=True, slots=True)
class Template:
    """What the target Secret holds beside the token."""

    type: str = "Opaque"
    metadata: TemplateMetadata = TemplateMetadata()
    data: dict[str, Annotated[str, AfterValidator(_known_placeholders)]] = Field(
        default_factory=dict, repr=False
    )


@dataclass(config=_CONFIG, frozen=True, slots=True)
class Target:
    """The Secret that the token is written to."""

    name: str | None = None
    creation_policy: CreationPolicy = CreationPolicy.OWNER
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    template: Template = Template()


@dataclass(config=_CONFIG, frozen=True, slots=True)
class Spec:
    """What a user asked for."""

    credentials_secret_ref: CredentialsSecretRef
    target: Target = Target()
    refresh_before: Annotated[timedelta | None, BeforeValidator(_duration)] = None
    suspend: bool = False


@dataclass(config=_CONFIG, frozen=True, slots=True)
class Metadata:
    """The part of the object's metadata that the operator reads."""

    namespace: str
    name: str
    uid: str
    creation_timestamp: Annotated[AwareDatetime, AfterValidator(_utc)]
    generation: int = 0
    annotations: dict[str, str] = Field(default_factory=dict, repr=False)


@dataclass(config=_CONFIG, frozen=True, slots=True)
class PineconeAccessToken:
    """One resource. Keys are (namespace, name)."""

    metadata: Metadata
    spec: Spec
    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Return the resource's own key."""
        return self.metadata.namespace, self.metadata.name

    @property
    def target_name(self) -> str:
        """Return the target Secret's name: the resource's own unless another is set."""
        return self.spec.target.name or self.metadata.name

    @property
    def target_key(self) -> tuple[str, str]:
        """Return the target Secret's key."""
        return self.metadata.namespace, self.target_name

    @property
    def credentials_key(self) -> tuple[str, str]:
        """Return the credentials Secret's key."""
        return self.metadata.namespace, self.spec.credentials_secret_ref.name

    @property
    def refresh_requested_at(self) -> datetime | None:
        """Return when a user asked for a refresh, in UTC; None if not asked or no RFC 3339 time."""
        text = self.metadata.annotations.get(REFRESH_REQUESTED_AT, "").strip()
        if not _RFC_3339.fullmatch(text):
            return None
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            return None


_RESOURCE = TypeAdapter(PineconeAccessToken)


def parse_resource(obj: Mapping[str, Any]) -> PineconeAccessToken:
    """Read an object as the API server sends it; unknown fields are ignored.

    Raises:
        ResourceInvalid: a field is missing or cannot be used; the message names each such field and
            what to do, and never what the field held.
    """
    try:
        return _RESOURCE.validate_python(dict(obj))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    # Raised out here, so that pydantic's error, which keeps the input, is not chained as context.
    raise ResourceInvalid(
        "; ".join(f"{_path(fault['loc'])}: {_sentence(fault['msg'])}" for fault in faults)
        + f": correct it; kubectl explain {PLURAL} --recursive lists what each field takes"
    )


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in location)


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return "is required" if message == "Field required" else message
