"""The kinds that the commands know, as one table. No I/O."""

from dataclasses import dataclass
from typing import Final

from pinecone_token_operator.api.group import ACCESS_TOKEN, CLUSTER_ACCESS_TOKEN, Kind
from pinecone_token_operator.config import validators
from pinecone_token_operator.controller.relist import api_resource
from pinecone_token_operator.errors import SettingsInvalid
from pinecone_token_operator.kube.paths import ApiResource


@dataclass(frozen=True, slots=True)
class KindEntry:
    """One kind of resource.

    Attributes:
        name: the CamelCase kind.
        api: its place in the API.
        short: its short name.
    """

    name: str
    api: ApiResource
    short: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names that may stand before a slash, as for kubectl."""
        return self.short, self.name.lower(), self.api.plural, str(self.api)


def _entry(kind: Kind, short: str) -> KindEntry:
    return KindEntry(kind.name, api_resource(kind), short)


NAMESPACED: Final = _entry(ACCESS_TOKEN, "pat")
CLUSTER: Final = _entry(CLUSTER_ACCESS_TOKEN, "cpat")
KINDS: Final = (NAMESPACED, CLUSTER)


@dataclass(frozen=True, slots=True)
class Reference:
    """A resource that the user names.

    Attributes:
        kind: its kind.
        namespace: its namespace; empty for a cluster-scoped kind.
        name: its name.
    """

    kind: KindEntry
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return it as kubectl prints it, for example `pineconeaccesstoken/search`."""
        return f"{self.kind.name.lower()}/{self.name}"

    @property
    def argument(self) -> str:
        """What a user gives as NAME."""
        return self.name if self.namespace else f"{self.kind.short}/{self.name}"

    @property
    def path(self) -> str:
        """Its path in the API."""
        return self.kind.api.item(self.namespace or None, self.name)


def parse_reference(text: str, namespace: str) -> Reference:
    """Read NAME, which is a PineconeAccessToken, or KIND/NAME.

    Raises:
        SettingsInvalid: the kind is unknown, or the name is not one.
    """
    given, slash, name = text.rpartition("/")
    kind = next((each for each in KINDS if given.lower() in each.names), None)
    if not slash:
        kind = NAMESPACED
    if kind is None:
        shorts = " or ".join(f"{each.short}/NAME" for each in KINDS)
        raise SettingsInvalid(f"NAME: unknown kind {given!r}; use NAME, {shorts}")
    try:
        validators.dns_name(name)
    except validators.InvalidValue as error:
        raise SettingsInvalid(f"NAME: {error}") from None
    return Reference(kind, namespace if kind.api.namespaced else "", name)
