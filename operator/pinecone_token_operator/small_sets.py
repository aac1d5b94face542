"""Sets of which most have few members: as a tuple, few take a quarter of a set's memory."""

from collections.abc import Collection, Hashable
from typing import Final, TypeVar

T = TypeVar("T", bound=Hashable)

_FEW: Final = 4


def with_member(members: Collection[T], one: T) -> Collection[T]:
    """Return the same members and one more; `members` may be changed and must not be used again."""
    if one in members:
        return members
    if isinstance(members, set):
        members.add(one)
        return members
    return (*members, one) if len(members) < _FEW else {*members, one}


def without_member(members: Collection[T], one: T) -> Collection[T]:
    """Return the same members without one; `members` may be changed and must not be used again."""
    if isinstance(members, set):
        members.discard(one)
        return members
    return tuple(member for member in members if member != one)
