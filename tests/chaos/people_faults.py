"""People delete and damage what is not theirs to touch, or delete what is theirs."""

import base64
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from pinecone_token_operator.targets.target import (
    EXPIRES_AT,
    MANAGED,
    REFRESH_AT,
    RESOURCE_UID,
    SEAL,
)
from tests.chaos.credentials_faults import create_credentials
from tests.chaos.injection import Inject, Made
from tests.chaos.place import Place
from tests.chaos.population import EXPENDABLE, LABEL, Member
from tests.support.api import secret_path, token_path

_MOST = 5
_FAR = "2099-01-01T00:00:00Z"
# A namespace's Secrets may be in a list that is under way.
_LOOK_SECONDS = 1.5

_KEY_DAMAGE: tuple[Mapping[str, str | None], ...] = (
    {"access_token": base64.b64encode(b"damaged by somebody").decode()},
    {"access_token": None},
    {"token_type": None},
    {"expires_at": base64.b64encode(_FAR.encode()).decode()},
    {"authorization": base64.b64encode(b"damaged too").decode()},
    {"surprise": base64.b64encode(b"something more").decode(), "token_type": None},
)
_ANNOTATION_DAMAGE: tuple[Mapping[str, str | None], ...] = (
    {EXPIRES_AT: _FAR},
    {REFRESH_AT: _FAR},
    {EXPIRES_AT: _FAR, REFRESH_AT: _FAR},
    {SEAL: None},
    {SEAL: "0" * 32},
    {REFRESH_AT: "soon"},
    {MANAGED: "[["},
    {EXPIRES_AT: None, REFRESH_AT: None, SEAL: None},
)


def _choose(place: Place, rng: random.Random) -> list[Member]:
    most = min(_MOST, len(place.members))
    return rng.sample(place.members, rng.randint(1, most))


def _made(place: Place, members: list[Member]) -> Made:
    note = ", ".join("/".join(member.key) for member in members)
    return Made(place.seconds(), frozenset(member.key for member in members), note)


def _to_targets(patch: Callable[[random.Random], Mapping[str, Any]]) -> Inject:
    @contextmanager
    def inject(place: Place, rng: random.Random) -> Iterator[Made]:
        members = _choose(place, rng)
        made = _made(place, members)
        for member in members:
            write = partial(place.kube.patch, secret_path(*member.key), patch(rng))
            place.insist(write, done=(404,))
        yield made

    return inject


@contextmanager
def _targets_deleted(place: Place, rng: random.Random) -> Iterator[Made]:
    members = _choose(place, rng)
    made = _made(place, members)
    for member in members:
        _delete_target(place, member)
    yield made


def _delete_target(place: Place, member: Member) -> None:
    place.insist(partial(place.kube.delete, secret_path(*member.key)), done=(404,))


@contextmanager
def _foreign(place: Place, rng: random.Random) -> Iterator[Made]:
    members = _choose(place, rng)
    made = _made(place, members)
    for member in members:
        place.wait_until(partial(_put_foreign, place, member), "a foreign Secret is in the way")
    yield made
    for member in members:
        _delete_target(place, member)


def _put_foreign(place: Place, member: Member) -> bool:
    """Make the target somebody else's Secret; return whether nobody wrote at the same time."""
    found = place.kube.secret_object(*member.key)
    foreign: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": member.name},
        "data": {"password": base64.b64encode(b"of somebody else").decode()},
    }
    if found is None:
        write = partial(place.kube.create, secret_path(member.namespace), foreign)
    else:
        foreign["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        write = partial(place.kube.replace, secret_path(*member.key), foreign)
    return place.insist(write, done=(404, 409)) is not None


@contextmanager
def _resource_recreated(place: Place, rng: random.Random) -> Iterator[Made]:
    members = _choose(place, rng)
    made = _made(place, members)
    for member in members:
        place.insist(partial(place.kube.delete, token_path(*member.key)), done=(404,))
        _create_resource(place, member)
    yield made


@contextmanager
def _namespace_recreated(place: Place, rng: random.Random) -> Iterator[Made]:
    namespace = rng.choice(EXPENDABLE)
    members = [member for member in place.members if member.namespace == namespace]
    made = Made(place.seconds(), frozenset(member.key for member in members), namespace)
    path = f"/api/v1/namespaces/{namespace}"
    with place.watcher.away(namespace):
        place.insist(partial(place.kube.delete, path), done=(404, 409))
        place.wait_until(lambda: place.kube.get(path) is None, f"{namespace} is gone")
        place.stop.wait(_LOOK_SECONDS)
    create = partial(place.kube.create, "/api/v1/namespaces", {"metadata": {"name": namespace}})
    place.insist(create, done=(409,))
    yield made
    populate(place, members)


def populate(place: Place, members: list[Member]) -> None:
    """Create credentials and resources."""
    for key in sorted({member.account_key for member in members}):
        create_credentials(place, key)
    for member in members:
        _create_resource(place, member)


def _create_resource(place: Place, member: Member) -> None:
    create = partial(place.kube.create, token_path(member.namespace), member.resource())
    place.insist(create, done=(409,))


FAULTS: Mapping[str, Inject] = {
    "people: targets deleted": _targets_deleted,
    "people: keys damaged": _to_targets(lambda rng: {"data": rng.choice(_KEY_DAMAGE)}),
    "people: annotations damaged": _to_targets(
        lambda rng: {"metadata": {"annotations": rng.choice(_ANNOTATION_DAMAGE)}}
    ),
    "people: labels removed": _to_targets(
        lambda _: {"metadata": {"labels": {RESOURCE_UID: None, LABEL: None}}}
    ),
    "people: owner references removed": _to_targets(
        lambda _: {"metadata": {"ownerReferences": None}}
    ),
    "people: foreign Secret in the way": _foreign,
    "people: resource recreated": _resource_recreated,
    "people: namespace recreated": _namespace_recreated,
}
