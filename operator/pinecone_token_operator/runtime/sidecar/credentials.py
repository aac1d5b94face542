"""Where the sidecar's credentials come from: files that may change, or environment variables."""

import os
import stat
from pathlib import Path
from typing import Final, Protocol

from pinecone_token_operator.config.sidecar_settings import CredentialFiles, GivenCredentials
from pinecone_token_operator.errors import CredentialsInvalid
from pinecone_token_operator.issuing.credentials import Credentials, tidy

_MAX_FILE: Final = 64 * 1024
_READS: Final = 5

_Version = tuple[tuple[int, ...] | None, ...]


class CredentialSource(Protocol):
    """Provides the credentials as they are now."""

    @property
    def description(self) -> str:
        """Say where the credentials are, for messages."""
        ...

    def read(self) -> Credentials:
        """Return the credentials.

        Raises:
            CredentialsInvalid: they cannot be used; the message says why and what to do.
        """
        ...


class CredentialVariables:
    """Credentials from environment variables, which never change."""

    description = "PINECONE_CLIENT_ID and PINECONE_CLIENT_SECRET"

    def __init__(self, given: GivenCredentials) -> None:
        self._given = given

    def read(self) -> Credentials:
        """Return the credentials; see `CredentialSource.read`."""
        client_id, client_secret = tidy(self._given.client_id), tidy(self._given.client_secret)
        for name, value in (("ID", client_id), ("SECRET", client_secret)):
            if not value:
                raise CredentialsInvalid(
                    f"PINECONE_CLIENT_{name} is blank; set it to the service account's value"
                )
        return Credentials(client_id, client_secret)


class CredentialsOnDisk:
    """Credentials from two files; they are read again when `stat` says that one has changed.

    Polling, because inotify reports nothing for network file systems and for some bind mounts, and
    watches of a mounted Secret's files end at the first change: the kubelet replaces a link to
    their directory.
    """

    def __init__(self, files: CredentialFiles) -> None:
        self._paths = (files.client_id, files.client_secret)
        self._version: _Version | None = None
        self._found: Credentials | CredentialsInvalid | None = None

    @property
    def description(self) -> str:
        """Say where the credentials are, for messages."""
        return f"{self._paths[0]} and {self._paths[1]}"

    def read(self) -> Credentials:
        """Return the credentials; see `CredentialSource.read`."""
        # Both files must be of one version, and the kubelet may switch versions between them.
        for _ in range(_READS):
            version = self._stat()
            if self._found is not None and version == self._version:
                break
            self._found, self._version = self._load(), version
        if isinstance(self._found, Credentials):
            return self._found
        # The cause of an error raised before must not grow with each poll.
        raise CredentialsInvalid(str(self._found))

    def _stat(self) -> _Version:
        return tuple(_version(path) for path in self._paths)

    def _load(self) -> Credentials | CredentialsInvalid:
        try:
            client_id, client_secret = (_read(path) for path in self._paths)
        except CredentialsInvalid as error:
            return error
        return Credentials(client_id, client_secret)


def _version(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path) -> str:
    try:
        # Opening a pipe would block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            content = file.read(_MAX_FILE + 1) if is_file else b""
    except FileNotFoundError:
        raise CredentialsInvalid(
            f"{path} does not exist; create it, or mount the credentials Secret there"
        ) from None
    except OSError as error:
        raise CredentialsInvalid(
            f"{path} cannot be read: {error.strerror}; make it readable for user {os.geteuid()}"
        ) from error
    if not is_file:
        raise CredentialsInvalid(f"{path} is not a regular file; use a file, which can be reread")
    if len(content) > _MAX_FILE:
        raise CredentialsInvalid(f"{path} is longer than 64 KiB; store only the value in it")
    text = _decode(content)
    if text is None:
        raise CredentialsInvalid(f"{path} is not UTF-8 text; store only the value in it")
    if not tidy(text):
        raise CredentialsInvalid(f"{path} is blank; store the service account's value in it")
    return tidy(text)


def _decode(content: bytes) -> str | None:
    # The error would carry the bytes, which are secret.
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
