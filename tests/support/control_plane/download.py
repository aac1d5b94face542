"""Downloads the release archive of envtest: etcd, kube-apiserver and kubectl, ready to run.

Proxies come from HTTPS_PROXY and NO_PROXY. Certificates are those that certifi trusts, or those
in the file that SSL_CERT_FILE names.
"""

import contextlib
import hashlib
import queue
import tarfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

import httpx

from tests.support.control_plane.cache import scratch
from tests.support.control_plane.pins import Archive
from tests.support.control_plane.progress import Progress, clock

RELEASES: Final = "https://github.com/kubernetes-sigs/controller-tools/releases/download"

_CHUNK: Final = 1 << 16
_MOST_REDIRECTS: Final = 5
_MEGABYTE: Final = 1_000_000


class DownloadError(Exception):
    """The archive could not be had; the message is the reason, in one line."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a download may take, in seconds.

    Attributes:
        answer: until a server answers, name resolution and TLS included.
        silence: until the next byte arrives; more than `answer`.
        whole: the whole download; building takes about as long.
    """

    answer: float = 5.0
    silence: float = 10.0
    whole: float = 600.0


def download(
    archive: Archive,
    names: Iterable[str],
    base_url: str,
    directory: Path,
    progress: Progress,
    limits: Limits = Limits(),
) -> None:
    """Put the archive's programs into a directory that appears once all of them are there.

    Args:
        archive: which archive, and its checksum.
        names: the programs that it holds.
        base_url: where releases are, below which the archive has its path.
        directory: where the programs go; the caller holds its lock.
        progress: told how far the download is.
        limits: how long it may take.

    Raises:
        DownloadError: nothing was downloaded, or not what the checksum says.
    """
    started = time.monotonic()
    with scratch(directory) as work:
        file, programs = work / "archive.tar.gz", work / "programs"
        size = _fetch(f"{base_url.rstrip('/')}/{archive.path}", file, archive, progress, limits)
        programs.mkdir()
        _unpack(file, names, programs)
        programs.rename(directory)
    took = clock(time.monotonic() - started)
    progress.say(f"downloaded Kubernetes {archive.version}, {size / _MEGABYTE:.0f} MB in {took}")


def _fetch(url: str, file: Path, archive: Archive, progress: Progress, limits: Limits) -> int:
    """Write what a URL has to a file, and return its size."""
    for _ in range(_MOST_REDIRECTS):
        with _opened(url, limits) as response:
            if response.next_request is None:
                return _receive(response, file, archive, progress, limits)
            url = str(response.next_request.url)
    raise DownloadError(f"{url} is the last of {_MOST_REDIRECTS} redirects")


@contextlib.contextmanager
def _opened(url: str, limits: Limits) -> Iterator[httpx.Response]:
    """Ask for a URL, and return the response with its body still to be read.

    A thread of its own holds the connection, because nothing else ends a slow name resolution.
    """
    if not url.startswith("https://"):
        raise DownloadError(f"{url} is not an https URL")
    answers: queue.SimpleQueue[httpx.Response | Exception] = queue.SimpleQueue()
    ended = threading.Event()

    def hold() -> None:
        try:
            with (
                httpx.Client(timeout=limits.silence) as client,
                client.stream("GET", url) as answer,
            ):
                answers.put(answer)
                ended.wait()
        except Exception as error:  # noqa: BLE001 - it is raised in the other thread
            answers.put(error)

    holder = threading.Thread(target=hold, name="download", daemon=True)
    holder.start()
    try:
        answer = answers.get(timeout=limits.answer)
    except queue.Empty:
        ended.set()
        host = urlsplit(url).hostname
        raise DownloadError(f"{host} did not answer within {limits.answer:g} s") from None
    try:
        if isinstance(answer, Exception):
            raise DownloadError(_reason(answer, url, None, limits)) from answer
        yield answer
    finally:
        ended.set()
        holder.join()


def _receive(
    response: httpx.Response, file: Path, archive: Archive, progress: Progress, limits: Limits
) -> int:
    url = str(response.url)
    if response.status_code != httpx.codes.OK:
        raise DownloadError(f"{url} answered {response.status_code}")
    deadline = time.monotonic() + limits.whole
    total = int(response.headers.get("Content-Length", 0))
    received = 0
    checksum = hashlib.sha512()

    def status(_: float) -> str:
        of = f" of {total / _MEGABYTE:.0f}" if total else ""
        return f"downloading Kubernetes {archive.version}: {received / _MEGABYTE:.0f}{of} MB"

    try:
        with progress.step(status), file.open("wb") as output:
            for chunk in response.iter_raw(_CHUNK):  # as it was sent: the checksum is of that
                received += len(chunk)
                checksum.update(chunk)
                output.write(chunk)
                if time.monotonic() > deadline:
                    raise DownloadError(f"it took longer than {limits.whole:g} s")
    except httpx.HTTPError as error:
        raise DownloadError(_reason(error, url, received, limits)) from error
    if checksum.hexdigest() != archive.sha512:
        raise DownloadError(f"the SHA-512 of {url} is not the pinned one")
    return received


def _reason(error: Exception, url: str, received: int | None, limits: Limits) -> str:
    host = urlsplit(url).hostname
    if isinstance(error, httpx.ReadTimeout):
        return f"{host} sent nothing for {limits.silence:g} s"
    if received is not None:
        return f"the connection to {host} broke after {received / _MEGABYTE:.1f} MB: {error}"
    return f"no connection to {host}: {error}"  # or no file of certificates, or an invalid URL


def _unpack(file: Path, names: Iterable[str], directory: Path) -> None:
    missing = set(names)
    try:
        with tarfile.open(file, "r:gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                content = archive.extractfile(member) if name in missing else None
                if content is None:
                    continue
                target = directory / name
                with content, target.open("wb") as output:
                    while chunk := content.read(_CHUNK):
                        output.write(chunk)
                target.chmod(0o755)
                missing.discard(name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DownloadError(f"the archive cannot be unpacked: {error}") from error
    if missing:
        raise DownloadError(f"the archive lacks {', '.join(sorted(missing))}")
