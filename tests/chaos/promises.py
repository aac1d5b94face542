"""What the operator's documentation promises, as numbers; times are in seconds."""

from typing import Final

# After the leader is killed, and after it is asked to exit.
FAILOVER: Final = 17.0
HANDOVER: Final = 2.0
# A process that starts treats the Lease as just renewed when it first sees it.
START: Final = 3.0
# How long the operator waits for the API server when it starts.
API_SERVER_WAIT: Final = 30.0
# Repairs that another writer causes: this many in a row, then with a delay that doubles from this.
REPAIRS_IN_A_ROW: Final = 5
FIRST_REPAIR_DELAY: Final = 2.0
# Copies of a token, from the first one to the last, while nothing disturbs the operator.
COPIED: Final = 5.0
# A copy in a namespace that lost its label is removed, likewise.
REMOVED: Final = 5.0
# Retries are at most a quarter of the remaining lifetime apart.
LONGEST_RETRY: Final = 22.5
# A watch that is silent is given up after 70 s, and then established again.
SILENT_WATCH: Final = 90.0
# Everything is back to normal this long after the last fault.
CONVERGENCE: Final = 60.0

EXIT_STOPPED: Final = 0
EXIT_NOT_REACHABLE: Final = 3
EXIT_LEASE_LOST: Final = 4
