"""The catalog of faults: how long each kind lasts and what it keeps the operator from doing."""

from tests.chaos.promises import FAILOVER, HANDOVER, START
from tests.chaos.records import Kind, Lane

# These names are modes of the token endpoint.
_ENDPOINT = (
    *("down", "503-html", "500-access-denied", "429", "hang", "drip", "truncated"),
    *("no-expires-in", "negative", "word-expires", "huge", "expired-certificate", "redirect"),
)
_HARMLESS = ("long-expires", "text-expires")
# What the endpoint's Retry-After asks for, and the tenth or second of jitter.
_RETRY_AFTER = 8.0
_WRITERS, _RIGHTS, _FLEET = "other writers", "partial rights", "namespaces"
# In the longest fight, the repairs after the first ones are 2, 4 and 8 s apart.
_LONGEST_DELAY = 16.0
_NAMESPACED = ("RoleBindings removed", "Secrets not readable")

KINDS = (
    *(Kind(f"endpoint: {mode}", Lane.ENDPOINT, 3, 8) for mode in _ENDPOINT),
    Kind("endpoint: 429-retry-after", Lane.ENDPOINT, 3, 8, aftermath=_RETRY_AFTER),
    *(Kind(f"endpoint: {mode}", Lane.ENDPOINT, 3, 8, blocks=False) for mode in _HARMLESS),
    Kind("replies: 401 once", Lane.REPLIES, 1, 1, blocks=False),
    # Both replicas lose the Lease meanwhile and restart.
    Kind("replies: 401 for 30 s", Lane.REPLIES, 30, 30, aftermath=5),
    Kind("replies: 429", Lane.REPLIES, 3, 8),
    Kind("replies: 503", Lane.REPLIES, 3, 8),
    Kind("connection: cut", Lane.LINE, blocks=False),
    Kind("connection: stalled", Lane.LINE, 4, 12),
    Kind("connection: slow", Lane.LINE, 6, 15, blocks=False),
    Kind("connection: watches closed at once", Lane.LINE, 6, 15, blocks=False),
    Kind("connection: watches silent", Lane.LINE, 8, 15, blocks=False),
    Kind("connection: watches expired", Lane.LINE, 5, 12, blocks=False),
    Kind("control plane: API server killed", Lane.CONTROL_PLANE, 0, 4, overhead=6, aftermath=2),
    Kind("control plane: etcd killed", Lane.CONTROL_PLANE, 1, 6, overhead=2, aftermath=2),
    # All resources and targets are deleted with it.
    Kind(
        "control plane: CRD reinstalled",
        Lane.CONTROL_PLANE,
        0,
        2,
        overhead=8,
        aftermath=2,
        min_spacing=500,
    ),
    Kind("operator: leader killed", Lane.REPLICAS, aftermath=FAILOVER),
    Kind("operator: leader terminated", Lane.REPLICAS, aftermath=HANDOVER),
    Kind("operator: leader frozen", Lane.REPLICAS, 18, 24, max_block=FAILOVER),
    # Nobody is left to take over: the Lease expires while they start.
    Kind(
        "operator: all replicas restarted",
        Lane.REPLICAS,
        aftermath=FAILOVER + START,
        no_standby=True,
    ),
    Kind("clock: 5 min ahead", Lane.CLOCK, 8, 20, blocks=False),
    Kind("clock: 5 min behind", Lane.CLOCK, 8, 20, blocks=False),
    Kind("credentials: rotated", Lane.CREDENTIALS, blocks=False),
    Kind("credentials: wrong for a while", Lane.CREDENTIALS, 6, 20),
    Kind("credentials: deleted and recreated", Lane.CREDENTIALS, 3, 10),
    Kind("credentials: key missing", Lane.CREDENTIALS, 3, 10),
    Kind("credentials: trailing newline", Lane.CREDENTIALS, blocks=False),
    Kind("credentials: not UTF-8", Lane.CREDENTIALS, 3, 10),
    Kind("users: targets deleted", Lane.USERS, blocks=False),
    Kind("users: keys overwritten", Lane.USERS, blocks=False),
    Kind("users: annotations overwritten", Lane.USERS, blocks=False),
    Kind("users: labels removed", Lane.USERS, blocks=False),
    Kind("users: owner references removed", Lane.USERS, blocks=False),
    Kind("users: target replaced by another Secret", Lane.USERS, 3, 10, aftermath=1),
    Kind("users: resource recreated", Lane.USERS, overhead=1, aftermath=1),
    Kind("users: namespace recreated", Lane.USERS, overhead=10, aftermath=1),
    Kind(f"{_WRITERS}: keys removed at each change", Lane.WRITERS, 7, 14, blocks=False),
    Kind(f"{_WRITERS}: metadata removed at each change", Lane.WRITERS, 7, 14, blocks=False),
    Kind(
        f"{_WRITERS}: old Secret restored at each change",
        *(Lane.WRITERS, 7, 14),
        overhead=2,
        aftermath=_LONGEST_DELAY,
        rewinds=True,
    ),
    Kind(f"{_WRITERS}: old Secret restored", Lane.WRITERS, 1, 3, rewinds=True),
    Kind(f"{_WRITERS}: Secret copied", Lane.WRITERS, 4, 10, blocks=False),
    Kind(f"{_WRITERS}: keys and metadata added", Lane.WRITERS, 4, 10, blocks=False),
    Kind(f"{_WRITERS}: target claimed by another", Lane.WRITERS, 1, 4, overhead=2, blocks=False),
    Kind(f"{_WRITERS}: two claims at once", Lane.WRITERS, 1, 4, overhead=3, blocks=False),
    Kind(f"{_FLEET}: labels removed", Lane.NAMESPACES, 3, 12, aftermath=1),
    Kind(f"{_FLEET}: labels flapping", Lane.NAMESPACES, overhead=2, aftermath=1),
    Kind(f"{_FLEET}: deleted and recreated", Lane.NAMESPACES, overhead=10, aftermath=1),
    Kind(f"{_FLEET}: copies deleted", Lane.NAMESPACES, aftermath=1),
    Kind(f"{_FLEET}: copy replaced by another Secret", Lane.NAMESPACES, 3, 10, aftermath=1),
    # Retries are at most a quarter of the remaining lifetime apart.
    *(
        Kind(f"{_RIGHTS}: {name}", Lane.RIGHTS, 8, 18, overhead=3, aftermath=2)
        for name in (*_NAMESPACED, "Secrets refused by a policy", "webhook down")
    ),
)

BY_NAME = {kind.name: kind for kind in KINDS}

# Where the operator watches all namespaces, it has no rights in a single one to lose.
SELECTED_ONLY = frozenset(f"{_RIGHTS}: {name}" for name in _NAMESPACED)
