"""What a run records: the faults that were injected and what the observers saw. Plain data.

Times are seconds since the start of the run unless stated otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

Key = tuple[str, str]
"""A resource's (namespace, name)."""

Interval = tuple[float, float]


class Lane(StrEnum):
    """Faults in the same lane use the same lever, so they never overlap."""

    ENDPOINT = "token endpoint"
    REPLIES = "API server replies"
    LINE = "connection to API server"
    CONTROL_PLANE = "control plane"
    REPLICAS = "operator replicas"
    CLOCK = "operator clock"
    CREDENTIALS = "credentials"
    USERS = "users"
    WRITERS = "other writers"
    RIGHTS = "partial rights"
    NAMESPACES = "namespaces of copies"


# The lanes that can cut the operator off from the API server.
API: tuple[Lane, ...] = (Lane.REPLIES, Lane.LINE, Lane.CONTROL_PLANE)

# The lanes that can block the refresh of every resource.
OUTAGES: tuple[Lane, ...] = (*API, Lane.ENDPOINT, Lane.REPLICAS)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault; times are in seconds.

    Attributes:
        name: as shown in reports and JSON.
        lane: the lever that it uses.
        min_hold: the shortest time that it is held.
        max_hold: the longest time that it is held.
        overhead: roughly how long it takes besides that, for example to restart a program.
        blocks: whether the resources that it affects cannot get a token meanwhile.
        aftermath: how long they still cannot afterwards, according to the operator's promises.
        max_block: the longest time that it blocks, because a standby takes over.
        no_standby: whether it leaves no process that has been watching the Lease.
        rewinds: whether it puts an older token into the targets that it affects, which then may
            have expired before it began.
        min_spacing: the shortest time between two faults of this kind.
    """

    name: str
    lane: Lane
    min_hold: float = 0.0
    max_hold: float = 0.0
    overhead: float = 0.0
    blocks: bool = True
    aftermath: float = 0.0
    max_block: float = float("inf")
    no_standby: bool = False
    rewinds: bool = False
    min_spacing: float = 30.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was injected.

    Attributes:
        began: just before anything was done.
        ended: when everything was undone.
        affects: the resources whose credentials, target or spec it changed; None means all.
        note: what was chosen, for the report.
    """

    kind: Kind
    began: float
    ended: float
    affects: frozenset[Key] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """The remaining lifetimes at one moment, in seconds; None while no target holds a token."""

    at: float
    minimum: float | None
    median: float | None


@dataclass(frozen=True, slots=True)
class ExpiredRead:
    """A read of a target that held an expired token."""

    key: Key
    at: float
    expired_at: float


@dataclass(frozen=True, slots=True)
class Exchange:
    """A token that was issued.

    Attributes:
        at: when.
        key: the resource whose target it was written to; None if it was written nowhere.
        users: the resources that use its client id.
    """

    at: float
    key: Key | None
    users: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Write:
    """A write that the API server accepted from a replica.

    Attributes:
        replica: who wrote.
        received: when the API server received it.
        answered: when the API server answered it.
        what: verb, resource and object, for the report.
        holder: the Lease's holder after a write of the Lease, "" for none; None for other objects.
        secret: the Secret that existed before and was written; None for other objects.
    """

    replica: str
    received: float
    answered: float
    what: str
    holder: str | None = None
    secret: Key | None = None


@dataclass(frozen=True, slots=True)
class Fight:
    """A time in which another writer undid each write of a target.

    Attributes:
        target: the Secret.
        began: the first change.
        ended: the last change.
        changes: how many changes the other writer made.
    """

    target: Key
    began: float
    ended: float
    changes: int


@dataclass(frozen=True, slots=True)
class Belonging:
    """What someone else put into the cluster and what was there later.

    Attributes:
        what: for the report, such as `Secret chaos-3/copy`.
        before: a digest of each part, such as `label team`.
        after: the same later, with parts that were added; None if the object was gone.
    """

    what: str
    before: Mapping[str, str]
    after: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Claim:
    """Several resources that named one target, a while after they were created.

    Attributes:
        target: the Secret.
        ready: the resources with the condition Ready.
        owner: the resource whose UID the Secret has; None if it has another or does not exist.
    """

    target: Key
    ready: frozenset[str]
    owner: str | None


@dataclass(frozen=True, slots=True)
class TokenChange:
    """A change of the token in a target.

    Attributes:
        at: when it was seen.
        issued_at: when the token was issued; None if the target was deleted.
    """

    at: float
    issued_at: float | None


@dataclass(frozen=True, slots=True)
class Unlabelling:
    """A time in which a namespace lacked the label that selects it.

    Attributes:
        key: the copy.
        began: when the label was removed.
        ended: when it was set again.
    """

    key: Key
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """The end of a replica's process.

    Attributes:
        replica: which one.
        at: when, in monotonic seconds.
        code: the exit code; a negative one is a signal.
        requested: whether the harness asked for it.
        overdue: whether it ignored SIGTERM for so long that it was killed.
    """

    replica: str
    at: float
    code: int
    requested: bool
    overdue: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """Everything that one run recorded; times are in seconds.

    Attributes:
        seed: decided the faults.
        resources: how many there were.
        replicas: how many there were.
        lifetime: of each token.
        margin: how long before its expiry a token is refreshed.
        seconds: how long the run took.
        scope: the namespaces that the operator watched.
        left_out: the kinds of fault that this machine or this scope does not allow.
        faults: what was injected, in order.
        samples: the remaining lifetimes, about one a second.
        minimum_lifetime: the shortest remaining lifetime seen in a target.
        expired_reads: every read of an expired token.
        damaged_reads: reads of what neither the endpoint nor the operator can have written.
        overstated_reads: reads of an `expires_at` that is later than the token's true expiry.
        overstatement: by how much at most.
        max_read_delay: by how much a read started too late at most.
        issued: how many tokens the endpoint sent.
        exchanges: those of them that came in a usable reply.
        writes: what the replicas wrote.
        targets: every Secret that is or was a target.
        fights: with other writers.
        belongings: what others put into the cluster.
        claims: of several resources on one target.
        copies: by cluster-scoped resource, when the token in each copy changed.
        unlabellings: of namespaces with copies.
        requests: when a refresh of a resource was requested.
        exits: the ends of the replicas' processes.
        start: the monotonic time of the start of the run.
        not_converged: what was still wrong at the end, by resource.
        converged_after: how long after the last fault everything was right; None if never.
        leaks: where a token or a client secret was found.
        redirects_followed: how many requests followed a redirect to another host.
        logged_errors: the operator's error messages, with their counts.
    """

    seed: int
    resources: int
    replicas: int
    lifetime: int
    margin: float
    seconds: float
    scope: str
    left_out: Sequence[str]
    faults: Sequence[Fault]
    samples: Sequence[Sample]
    minimum_lifetime: float | None
    expired_reads: Sequence[ExpiredRead]
    damaged_reads: int
    overstated_reads: int
    overstatement: float
    max_read_delay: float
    issued: int
    exchanges: Sequence[Exchange]
    writes: Sequence[Write]
    targets: frozenset[Key]
    fights: Sequence[Fight]
    belongings: Sequence[Belonging]
    claims: Sequence[Claim]
    copies: Mapping[Key, Mapping[Key, Sequence[TokenChange]]]
    unlabellings: Sequence[Unlabelling]
    requests: Mapping[Key, Sequence[float]]
    exits: Sequence[ProcessExit]
    start: float
    not_converged: Mapping[str, str]
    converged_after: float | None
    leaks: Sequence[str]
    redirects_followed: int
    logged_errors: Mapping[str, int]
