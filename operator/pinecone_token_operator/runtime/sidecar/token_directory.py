"""The output directory: writes the token's files, repairs them, and reads them after a restart."""

import errno
import logging
import os
import secrets
import stat
from datetime import timedelta
from typing import Final

from pinecone_token_operator.backoff import backoff
from pinecone_token_operator.config.sidecar_settings import Output
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import SettingsInvalid, WriteFailed
from pinecone_token_operator.policies.contention import Damping
from pinecone_token_operator.targets.files import AtomicFiles, FilesRefused
from pinecone_token_operator.targets.stored_token import StoredToken
from pinecone_token_operator.targets.token_files import is_ours, read_token, token_files

_OTHERS_READ: Final = 0o004
_GROUP_READS: Final = 0o040
_FIRST_RETRY: Final = timedelta(seconds=1)
_LONGEST_RETRY: Final = timedelta(seconds=15)
_ADVICE: Final = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "raise the quota, or free some space",
    errno.EFBIG: "raise the limit of file sizes",
    errno.EROFS: "mount it without readOnly, or use another directory",
    errno.EACCES: "make it writable for user {user}, for example with fsGroup, or use another one",
    errno.EPERM: "make it writable for user {user}, or use another directory",
    errno.ENOENT: "mount or create it",
    errno.ENOTDIR: "use a directory",
}

logger = logging.getLogger(__name__)


class TokenDirectory:
    """The token's files in one directory.

    Args:
        output: where and how to write.
        env: the clocks and random numbers.
        in_pod: whether Kubernetes runs this process.
    """

    def __init__(self, output: Output, env: Env, *, in_pod: bool) -> None:
        self._output = output
        self._env = env
        self._in_pod = in_pod
        self._files = AtomicFiles(output.directory, output.mode, env.now, env.monotonic)
        self._desired: dict[str, bytes] = {}
        self._salt = secrets.token_hex(16)
        self._written = False
        self._lost = False
        self._failures = 0
        self._retry_at = env.monotonic()
        self._repairs = Damping()

    def open(self) -> StoredToken | None:
        """Take the directory into use, and return the token in it if it is intact.

        Raises:
            SettingsInvalid: the directory cannot be used; the message says why and what to do.
        """
        try:
            self._files.open()
            files = self._read()
        except FilesRefused as error:
            self._files.close()
            raise SettingsInvalid(
                f"--output-dir: {self._where}: {error}; use another directory"
            ) from None
        except OSError as error:
            self._files.close()
            raise SettingsInvalid(f"--output-dir: {self._problem(error)}") from error
        self._warn_of_unreadable_files()
        found = read_token(files or {})
        if found is None:
            return None
        token, self._salt = found
        return token

    def close(self) -> None:
        """Let others use the directory; the files stay."""
        self._files.close()

    @property
    def salt(self) -> str:
        """The key of fingerprints of credentials."""
        return self._salt

    def put(self, token: StoredToken) -> None:
        """Set the token that the files should hold; `sync` writes it."""
        self._desired = token_files(token, self._output.template, self._salt)
        self._written = False
        self._retry_at = self._env.monotonic()

    def sync(self) -> bool:
        """Make the files hold what they should, and return whether they were written.

        A failed write is retried with backoff, and so is a repair if another writer keeps changing
        the files.

        Raises:
            WriteFailed: the files could not be written now.
        """
        self._files.sweep()
        if not self._desired or self._files.holds(self._desired):
            self._written, self._lost = bool(self._desired), False
            return False
        if self._env.monotonic() < self._retry_at:
            return False
        repairs = self._written
        if repairs:
            logger.warning("The files in %s were changed or removed; restoring them", self._where)
        # If this fails, applications may have no token.
        self._written, self._lost = False, repairs or self._lost
        try:
            self._files.write(self._desired)
        except FilesRefused as error:
            raise self._failed(f"cannot write to {self._where}: {error}; remove it") from None
        except OSError as error:
            raise self._failed(self._problem(error)) from error
        if repairs:
            self._damp()
        self._written, self._lost, self._failures = True, False, 0
        return True

    @property
    def is_written(self) -> bool:
        """Whether the files held what they should when they were last checked or written."""
        return self._written

    @property
    def is_lost(self) -> bool:
        """Whether another writer changed the files, and they could not be restored yet."""
        return self._lost

    def _read(self) -> dict[str, bytes] | None:
        files = self._files.read()
        if files is not None and not is_ours(files):
            raise FilesRefused("its ..data was not written by this program")
        return files

    def _damp(self) -> None:
        now = self._env.now()
        self._repairs = self._repairs.after(now)
        held_until = self._repairs.held_until
        if held_until:
            self._retry_at = self._env.monotonic() + (held_until - now).total_seconds()

    def _failed(self, message: str) -> WriteFailed:
        delay = backoff(
            self._failures, first=_FIRST_RETRY, longest=_LONGEST_RETRY, rng=self._env.rng
        )
        self._failures += 1
        self._retry_at = self._env.monotonic() + delay.total_seconds()
        return WriteFailed(message, final=False)

    def _problem(self, error: OSError) -> str:
        advice = _ADVICE.get(error.errno or 0, "check the directory").format(user=os.geteuid())
        return f"cannot write to {self._where}: {error.strerror}; {advice}"

    @property
    def _where(self) -> str:
        return str(self._output.directory)

    def _warn_of_unreadable_files(self) -> None:
        """Warn if an application that runs as another user will not be able to read the files."""
        found, mode = self._output.directory.stat(), self._output.mode
        passes_group_on = found.st_mode & stat.S_ISGID and mode & _GROUP_READS
        shared = self._in_pod or found.st_uid != os.geteuid()
        if mode & _OTHERS_READ or passes_group_on or not shared:
            return
        logger.warning(
            "Only user %d and group %d will be able to read the files in %s; if the application "
            "runs as another user, set fsGroup in the pod's securityContext, or --file-mode=0644",
            os.geteuid(),
            os.getegid(),
            self._where,
        )
