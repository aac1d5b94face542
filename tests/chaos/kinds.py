"""Every kind of fault: what it is, how long it lasts, and what it keeps the operator from doing."""

from dataclasses import dataclass
from enum import StrEnum


class Lane(StrEnum):
    """Faults of one lane pull the same lever, so they come one after the other."""

    ENDPOINT = "token endpoint"
    REPLIES = "API server's replies"
    LINE = "line to the API server"
    CONTROL_PLANE = "control plane"
    OPERATOR = "operator"
    CLOCK = "operator's clock"
    CREDENTIALS = "credentials"
    PEOPLE = "people"


# The lanes that can keep the operator from the API server.
API = (Lane.REPLIES, Lane.LINE, Lane.CONTROL_PLANE)

# The lanes that can keep every resource from being refreshed.
OUTAGES = (Lane.ENDPOINT, Lane.REPLIES, Lane.LINE, Lane.CONTROL_PLANE, Lane.OPERATOR)

# What the operator promises after its leader was killed, and after it was asked to end.
FAIL_OVER = 17.0
HAND_OVER = 2.0
# A process that starts takes the Lease for as old as it is when it first sees it.
START = 3.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault; times are in seconds.

    Attributes:
        name: as reports and JSON spell it.
        lane: the lever that it pulls.
        shortest: how long it is held at least. longest: at most.
        takes: about how long it takes beside that, to restart a program say.
        blocks: whether an exchange is impossible meanwhile for the resources that it concerns.
        aftermath: how long an exchange stays impossible after it has ended, by contract.
        at_most: how long it blocks at most, because a standby takes over.
        nobody_left: whether it leaves no process that has watched the Lease.
        apart: how long two of this kind are apart at least.
    """

    name: str
    lane: Lane
    shortest: float = 0.0
    longest: float = 0.0
    takes: float = 0.0
    blocks: bool = True
    aftermath: float = 0.0
    at_most: float = float("inf")
    nobody_left: bool = False
    apart: float = 30.0


# The names of the token endpoint's are those of its modes.
_ENDPOINT = (
    *("down", "503-html", "500-access-denied", "429", "hang", "drip", "truncated"),
    *("no-expires-in", "negative", "word-expires", "huge", "expired-certificate", "redirect"),
)
_HARMLESS = ("long-expires", "text-expires")
# What the endpoint's Retry-After asks for, and the tenth or second that spreads the return.
_RETRY_AFTER = 8.0

KINDS = (
    *(Kind(f"endpoint: {mode}", Lane.ENDPOINT, 3, 8) for mode in _ENDPOINT),
    Kind("endpoint: 429-retry-after", Lane.ENDPOINT, 3, 8, aftermath=_RETRY_AFTER),
    *(Kind(f"endpoint: {mode}", Lane.ENDPOINT, 3, 8, blocks=False) for mode in _HARMLESS),
    Kind("replies: 401 once", Lane.REPLIES, 1, 1, blocks=False),
    # Both replicas lose the Lease meanwhile, and start anew.
    Kind("replies: 401 for 30 s", Lane.REPLIES, 30, 30, aftermath=5),
    Kind("replies: 429", Lane.REPLIES, 3, 8),
    Kind("replies: 503", Lane.REPLIES, 3, 8),
    Kind("line: cut", Lane.LINE, blocks=False),
    Kind("line: stalled", Lane.LINE, 4, 12),
    Kind("line: delayed", Lane.LINE, 6, 15, blocks=False),
    Kind("line: watches closed at once", Lane.LINE, 6, 15, blocks=False),
    Kind("line: watches silent", Lane.LINE, 8, 15, blocks=False),
    Kind("line: watches expired", Lane.LINE, 5, 12, blocks=False),
    Kind("control plane: API server killed", Lane.CONTROL_PLANE, 0, 4, takes=6, aftermath=2),
    Kind("control plane: etcd killed", Lane.CONTROL_PLANE, 1, 6, takes=2, aftermath=2),
    # All resources and targets go with it.
    Kind("control plane: CRD reinstalled", Lane.CONTROL_PLANE, 0, 2, 8, aftermath=2, apart=500),
    Kind("operator: leader killed", Lane.OPERATOR, aftermath=FAIL_OVER),
    Kind("operator: leader terminated", Lane.OPERATOR, aftermath=HAND_OVER),
    Kind("operator: leader stopped and continued", Lane.OPERATOR, 18, 24, at_most=FAIL_OVER),
    # Nobody is there to take over: the Lease runs out while they start.
    Kind(
        "operator: all replicas restarted",
        Lane.OPERATOR,
        aftermath=FAIL_OVER + START,
        nobody_left=True,
    ),
    Kind("clock: 5 min ahead", Lane.CLOCK, 8, 20, blocks=False),
    Kind("clock: 5 min behind", Lane.CLOCK, 8, 20, blocks=False),
    Kind("credentials: changed", Lane.CREDENTIALS, blocks=False),
    Kind("credentials: wrong and back", Lane.CREDENTIALS, 6, 20),
    Kind("credentials: deleted and recreated", Lane.CREDENTIALS, 3, 10),
    Kind("credentials: key missing", Lane.CREDENTIALS, 3, 10),
    Kind("credentials: trailing newline", Lane.CREDENTIALS, blocks=False),
    Kind("credentials: not UTF-8", Lane.CREDENTIALS, 3, 10),
    Kind("people: targets deleted", Lane.PEOPLE, blocks=False),
    Kind("people: keys damaged", Lane.PEOPLE, blocks=False),
    Kind("people: annotations damaged", Lane.PEOPLE, blocks=False),
    Kind("people: labels removed", Lane.PEOPLE, blocks=False),
    Kind("people: owner references removed", Lane.PEOPLE, blocks=False),
    Kind("people: foreign Secret in the way", Lane.PEOPLE, 3, 10, aftermath=1),
    Kind("people: resource recreated", Lane.PEOPLE, takes=1, aftermath=1),
    Kind("people: namespace recreated", Lane.PEOPLE, takes=10, aftermath=1),
)

BY_NAME = {kind.name: kind for kind in KINDS}
