"""Consumer mode: a token that an operator keeps fresh in a mounted target Secret."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.errors import CredentialsInvalid
from pinecone_token_operator.issuing import parsing
from pinecone_token_operator.runtime.sidecar.current import (
    NO_RESOURCE,
    Current,
    CurrentToken,
    sample,
)
from pinecone_token_operator.runtime.sidecar.renewal import TokenMetrics
from pinecone_token_operator.targets.files import DATA
from pinecone_token_operator.targets.stored_token import format_time, parse_time

_READS: Final = 3
_MAX_FILE: Final = 64 * 1024

logger = logging.getLogger(__name__)


class MountedTokenSource:
    """Follows the token in a directory; the kubelet, or another sidecar, writes it.

    Args:
        directory: of the files access_token and expires_at.
        current: where the token is published to endpoint and probes.
        metrics: what is measured.
        renewed: called with each new token.
    """

    def __init__(
        self,
        directory: Path,
        current: Current,
        metrics: TokenMetrics,
        renewed: Callable[[CurrentToken], None],
    ) -> None:
        self._directory = directory
        self._current = current
        self._metrics = metrics
        self._renewed = renewed

    def read(self) -> CurrentToken:
        """Return the token in the directory, which may have expired.

        Raises:
            CredentialsInvalid: there is none; the message says what to do.
        """
        for attempt in range(_READS):
            try:
                token, expiry = self._read_pair()
                return CurrentToken(_as_token(token), parse_time(expiry.decode("ascii").strip()))
            except FileNotFoundError as error:
                # The kubelet may have removed this version while it was being read.
                if attempt + 1 == _READS:
                    name = Path(str(error.filename)).name
                    raise CredentialsInvalid(self._explain(f"has no file {name}")) from None
            except OSError as error:
                raise CredentialsInvalid(
                    self._explain(f"cannot be read: {error.strerror}")
                ) from error
            except ValueError:
                # Not chained: the error could carry what was read.
                raise CredentialsInvalid(self._explain("holds no usable token")) from None
        raise AssertionError("the last attempt returns or raises")

    async def step(self) -> None:
        """Read the token, and publish it if it has changed."""
        try:
            token = self.read()
        except CredentialsInvalid as error:
            if self._current.problem != str(error):
                logger.warning("Cannot read the token: %s", error)
            self._current.problem = str(error)
        else:
            self._current.problem = ""
            if token != self._current.token:
                self._publish(token)
        reason = Reason.TOKEN_MISSING if self._current.problem else Reason.SUCCEEDED
        self._metrics.token(NO_RESOURCE, sample(self._current, reason))

    def start(self, token: CurrentToken) -> None:
        """Publish the token that was there at start, which is no renewal."""
        self._current.token = token
        self._current.published_until = token.expires_at
        logger.info(
            "Found a token that expires at %s in %s",
            format_time(token.expires_at),
            self._directory,
        )

    def _publish(self, token: CurrentToken) -> None:
        self._current.token = token
        self._current.published_until = token.expires_at
        logger.info("Read a new token that expires at %s", format_time(token.expires_at))
        self._renewed(token)

    def _read_pair(self) -> tuple[bytes, bytes]:
        # Both from the same version: `..data` is a link to it.
        data = self._directory / DATA
        directory = data.resolve() if data.is_symlink() else self._directory
        return _read(directory / "access_token"), _read(directory / "expires_at")

    def _explain(self, problem: str) -> str:
        return (
            f"{self._directory} {problem}; mount the target Secret of a PineconeAccessToken there, "
            "as a directory without subPath"
        )


def _as_token(content: bytes) -> str:
    text = content.decode("ascii").strip()
    if not parsing.is_token(text):
        raise ValueError("not a token")
    return text


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_FILE)
