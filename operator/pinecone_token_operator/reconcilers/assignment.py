"""What one resource of any kind requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pinecone_token_operator.keys import ObjectRef, SecretKey
from pinecone_token_operator.policies.input import Wanted
from pinecone_token_operator.targets.secret import TargetSpec

FindRival = Callable[[SecretKey, str | None], str | None]
"""Returns the name of another resource that owns a target, given the UID that is on it."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one resource of any kind requests.

    Attributes:
        ref: the resource.
        uid: its UID.
        wanted: the requested properties of its token.
        credentials_key: the credentials Secret.
        client_id_key: the key of the client id in it.
        client_secret_key: the key of the client secret in it.
        specs: where the token is to be stored.
        find_rival: which other resource owns a target.
        interrupted: whether writing many targets has to be left to the next reconcile, because
            something more urgent has come up.
    """

    ref: ObjectRef
    uid: str
    wanted: Wanted
    credentials_key: SecretKey
    client_id_key: str
    client_secret_key: str
    specs: Sequence[TargetSpec]
    find_rival: FindRival
    interrupted: Callable[[], bool] = lambda: False
