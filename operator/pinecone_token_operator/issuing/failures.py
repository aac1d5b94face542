"""What each class of failure means for a resource: one table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.backoff import rejected_delay, requested_delay, retry_delay
from pinecone_token_operator.errors import ExchangeError, ExchangeFailure


@dataclass(frozen=True, slots=True)
class Handling:
    """How to handle a class of failure.

    Attributes:
        reason: the condition's reason.
        delay: the backoff, by failures in a row, remaining lifetime and a random fraction.
        advice: what the user should do; `{secret}` is the credentials Secret. Empty if nothing.
    """

    reason: Reason
    delay: Callable[[int, timedelta, float], timedelta] = retry_delay
    advice: str = ""


HANDLING: Final[Mapping[ExchangeFailure, Handling]] = {
    ExchangeFailure.UNAVAILABLE: Handling(Reason.UNAVAILABLE),
    ExchangeFailure.THROTTLED: Handling(Reason.THROTTLED),
    ExchangeFailure.REJECTED: Handling(
        Reason.REJECTED, rejected_delay, "check the client id and client secret in Secret {secret}"
    ),
    ExchangeFailure.INVALID: Handling(Reason.RESPONSE_INVALID),
}


def delay_after(
    error: ExchangeError, failures: int, remaining: timedelta, fraction: float
) -> timedelta:
    """Return how long to wait after a failure.

    Args:
        error: the failure.
        failures: failed attempts in a row, this one included.
        remaining: the current token's remaining lifetime; zero or less if there is none.
        fraction: a random number in [0, 1).
    """
    if error.retry_after is not None:
        return requested_delay(error.retry_after, fraction)
    return HANDLING[error.failure].delay(failures, remaining, fraction)
