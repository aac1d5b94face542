"""How long the API server client waits, and how old what it has read may be."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations that a test may shorten.

    Attributes:
        page_inactivity: how long a page of a list may receive nothing. The API server itself gives
            up after 60 s.
        reload_every: how old credentials and CA may get. The kubelet renews a token when 20% of its
            lifetime is left, which is at least ten minutes.
        reload_refused: how old they may be after a 401 or a failed TLS handshake: they may have
            been rotated early. Younger ones are not read again, or a plugin would run for each
            request of a locked account.
    """

    page_inactivity: timedelta = timedelta(seconds=65)
    reload_every: timedelta = timedelta(seconds=60)
    reload_refused: timedelta = timedelta(seconds=5)
