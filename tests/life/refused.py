"""How a request fails."""


class RefusedError(Exception):
    """A request failed as the API server would let it fail.

    Attributes:
        status: the HTTP status; 0 if there was no response.
        reason: one word.
        message: for people.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
