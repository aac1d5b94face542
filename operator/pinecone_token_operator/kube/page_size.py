"""How many objects to request in one page of a list. No I/O."""

from typing import Final

FIRST: Final = 50
MIN: Final = 5
MAX: Final = 500
# Small objects may be followed by large ones, with up to 256 KiB of annotations each, and a page of
# these must fit into memory, too. Only a list that cannot be completed otherwise takes more.
USUAL_MAX: Final = 100
# Objects may be large: anyone may give one a megabyte of annotations, and what is parsed takes
# several times the memory of its text.
TARGET_BYTES: Final = 4 * 1024 * 1024


class PageSize:
    """Adapts the page size of one list, so that pages stay near 4 MiB and arrive in time.

    Attributes:
        limit: how many objects to request next.
    """

    def __init__(self) -> None:
        self.limit = FIRST
        self._most = USUAL_MAX

    def received(self, objects: int, size: int) -> None:
        """Adapt to a page of so many objects and bytes."""
        if objects:
            fitting = TARGET_BYTES * objects // max(size, 1)
            # Growing by steps, as the next page's objects may be larger than these.
            self.limit = max(MIN, min(fitting, self.limit * 4, self._most))

    def timed_out(self) -> bool:
        """Reduce the size because the server took too long; return False if it is minimal."""
        if self.limit == MIN:
            return False
        self.limit = max(MIN, self.limit // 4)
        return True

    def expired(self) -> None:
        """Increase the size because the list took so long that it could not be continued."""
        self._most = min(self._most * 4, MAX)
        self.limit = min(self.limit * 4, MAX)
