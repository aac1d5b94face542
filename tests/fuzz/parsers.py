"""The parsers of untrusted input, each with a check of what must hold for any input.

An input is a file of bytes, so that one that failed once can be kept in the corpus. Each check says
how the bytes become arguments, and ignores what could never be received in that form.
"""

import asyncio
import base64
import contextlib
import io
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, TypeGuard

from pinecone_token_operator.api.access_token import parse_resource
from pinecone_token_operator.cli import run
from pinecone_token_operator.config.durations import parse_duration
from pinecone_token_operator.config.settings import Settings
from pinecone_token_operator.errors import (
    CredentialsInvalid,
    ExchangeError,
    ResourceInvalid,
    SettingsInvalid,
)
from pinecone_token_operator.issuing.credentials import fingerprint, read_credentials
from pinecone_token_operator.issuing.oauth import parse_response, request_body
from pinecone_token_operator.kube.responses import MAX_MESSAGE, error_from_reply, parse_object
from pinecone_token_operator.policies.ownership import is_owned_by
from pinecone_token_operator.policies.schedule import refresh_window
from pinecone_token_operator.targets.secret import (
    content_patch,
    desire,
    essential,
    overwritten,
    ownership_patch,
    removal_patch,
)
from pinecone_token_operator.targets.stored_token import (
    MAX_LIFETIME,
    StoredToken,
    checksum,
    format_time,
    max_rendered_size,
)
from pinecone_token_operator.targets.target import read_target, stored_token
from pinecone_token_operator.watch.secrets_metadata import SecretReflector
from tests.support.builders import make_resource, make_spec
from tests.support.documented import PREFIX
from tests.support.leaks import find_leaks

NOW: Final = datetime(2026, 11, 25, 12, 0, 0, 999_999, tzinfo=UTC)
CANARY: Final = "c4n4ry-0123456789"
"""Stands for a secret in inputs, and must never be shown."""

UID: Final = "0b1f"
_TOKEN: Final = StoredToken(CANARY, "Bearer", NOW, NOW + timedelta(minutes=30), NOW, "c0ffee")
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Parser:
    """One of them.

    Attributes:
        name: the folder of its corpus.
        check: takes an input; raises if something is wrong.
    """

    name: str
    check: Callable[[bytes], None]


def check_exchange_reply(data: bytes) -> None:
    """Take a line of JSON, `status` and `headers`, and then the reply's body."""
    head, _, body = data.partition(b"\n")
    facts = _json(head)
    status, headers = facts.get("status"), facts.get("headers", {})
    if not _is_status(status) or not _is_text_map(headers):
        return
    try:
        token = parse_response(status, headers, body, NOW)
    except ExchangeError as error:
        _check_not_shown(error, CANARY)
        _check_wait(error.retry_after)
        return
    assert 200 <= status < 300
    assert timedelta(seconds=1) <= token.lifetime <= _DAY
    assert token.requested_at == NOW.replace(microsecond=0)
    assert re.fullmatch(r"[\x21-\x7e]+", token.access_token)
    assert token.access_token in json.loads(body).values()
    assert not find_leaks({"repr": repr(token)}, [token.access_token])


def check_resource(data: bytes) -> None:
    """Take an object in JSON; what it needs to be the API server's is given to it."""
    obj = _json(data)
    try:
        resource = parse_resource(obj)
    except ResourceInvalid as error:
        _check_not_shown(error, CANARY)
        return
    _check_not_shown(resource, CANARY)
    assert len(resource.metadata.annotations) <= 1
    assert resource.metadata.refresh_request == resource.metadata.refresh_request.strip()
    if resource.spec.refresh_before is not None:
        assert timedelta(seconds=1) <= resource.spec.refresh_before <= timedelta(hours=24)
    desired = desire(make_spec(resource), _TOKEN)
    _check_not_shown(desired, CANARY)
    template = resource.spec.target.template.data
    size = 0
    for key, text in desired.data.items():
        rendered = base64.b64decode(text, validate=True)
        rendered.decode()
        size += len(rendered) if key in template else 0
    assert size <= max_rendered_size(template, len(_TOKEN.access_token))


def check_target(data: bytes) -> None:
    """Take a Secret in JSON; what it needs to be the API server's is given to it.

    With `add_checksum`, an annotation's name, that annotation gets the checksum that makes the
    stored token intact: whoever may write a Secret can compute it.
    """
    secret = _json(data)
    add_checksum = secret.pop("add_checksum", None)
    if not isinstance(secret.get("metadata"), dict):
        return
    secret["metadata"] = {"namespace": "shop", "name": "search", **secret["metadata"]}
    if not _is_secret(secret):
        return
    target = read_target(secret)
    if CANARY in json.dumps(secret["metadata"]):
        return  # whoever writes a secret into the metadata shows it himself
    _check_not_shown(target, CANARY)
    if add_checksum in ("checksum", "data") and target.times:
        _add_checksum(secret, PREFIX + str(add_checksum))
        target = read_target(secret)
    found = stored_token(target, UID)
    _check_not_shown(found, CANARY)
    assert all(isinstance(name, str) for names in target.managed.values() for name in names)
    assert target.owner_uid is None or not target.is_copy
    json.dumps(removal_patch(target))
    for policy in ("Owner", "Merge"):
        spec = make_spec(make_resource(target={"creationPolicy": policy}))
        assert not (target.is_copy and is_owned_by(target, spec.owner))
        json.dumps(overwritten(target, spec))
        json.dumps(ownership_patch(target, spec))
        for token in (_TOKEN, *([found] if found else [])):
            patch = content_patch(target, desire(spec, token))
            json.dumps(patch)
            if patch is None:
                assert found is not None
            json.dumps(content_patch(target, essential(spec, token, target), prune=False))
    if found is not None:
        assert found.access_token.encode() == base64.b64decode(secret["data"]["access_token"])
        assert timedelta() < found.expires_at - found.refreshed_at <= MAX_LIFETIME
        earliest, latest = refresh_window(found.refreshed_at, found.expires_at, None)
        format_time(min(earliest, latest))


def check_credentials(data: bytes) -> None:
    """Take JSON: the `data` of a Secret, `id_key` and `secret_key`."""
    facts = _json(data)
    held = facts.get("data")
    keys = [facts.get("id_key"), facts.get("secret_key")]
    if not _is_text_map(held) or not all(isinstance(key, str) for key in keys):
        return
    secrets = [value for name, value in held.items() if name in keys]
    try:
        found = read_credentials(held, str(keys[0]), str(keys[1]))
    except CredentialsInvalid as error:
        if not any(CANARY in str(key) for key in keys):
            _check_not_shown(error, CANARY, *(text for text in secrets if len(text) >= 8))
        return
    for part in (found.client_id, found.client_secret):
        assert part
        assert part == part.strip()
        assert len(part) < 6 or part not in repr(found)
    assert re.fullmatch("[0-9a-f]{32}", fingerprint(found, UID, "audience", "url"))
    json.dumps(request_body(found, "audience")).encode()


def check_duration(data: bytes) -> None:
    """Take text in UTF-8."""
    text = data.decode("utf-8", "replace")
    try:
        found = parse_duration(text, "1s", "24h")
    except ValueError as error:
        _check_not_shown(error, *([text] if len(text) >= 6 else []))
        return
    assert timedelta(seconds=1) <= found <= timedelta(hours=24)
    assert text.isascii()
    assert not found.microseconds


def check_settings(data: bytes) -> None:
    """Take JSON: the arguments `argv` and the environment `environ`."""
    facts = _json(data)
    argv, environ = facts.get("argv", []), facts.get("environ", {})
    texts = [*argv, *environ, *environ.values()] if _is_text_map(environ) else [None]
    # The system passes no text with a NUL, and names of variables have no `=`.
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        return
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = run.parse(argv, environ)
    except SettingsInvalid:
        return
    except SystemExit:
        assert "--help" in argv or "-h" in "".join(argv)
        return
    assert isinstance(found, Settings)
    assert found.endpoint.token_url.startswith(("https://", "http://"))


def check_api_status(data: bytes) -> None:
    """Take a line with the HTTP status, and then the body of a refusal."""
    head, _, content = data.partition(b"\n")
    status = int(head) if re.fullmatch(rb"[1-9][0-9]{2}", head) else 0
    if not _is_status(status):
        return
    error = error_from_reply(status, content)
    assert error.http_status == status
    assert error.reason
    assert len(str(error)) <= 2 * MAX_MESSAGE + 10
    assert len(str(error).splitlines()) == 1


def check_watch_lines(data: bytes) -> None:
    """Take lines of a watch; the watch continues afterwards."""
    asyncio.run(_watch(data.split(b"\n")))


async def _watch(lines: list[bytes]) -> None:
    api = _Lines(lines)
    changed: list[tuple[str, str]] = []
    watch = SecretReflector(
        api,
        None,
        is_wanted=lambda _: True,
        changed=lambda key, _seen_by: changed.append(key),
        monotonic=lambda: 0.0,
        rng=Random(1),
    )
    running = asyncio.create_task(watch.run())
    await asyncio.wait(
        {running, asyncio.create_task(api.sent.wait())}, return_when=asyncio.FIRST_COMPLETED
    )
    await asyncio.sleep(0)
    if running.done():
        running.result()
    running.cancel()
    assert all(isinstance(part, str) for key in changed for part in key)


class _Lines:
    """An API server that sends an empty list, and then these lines as a watch."""

    def __init__(self, lines: list[bytes]) -> None:
        self.sent = asyncio.Event()
        self._lines = lines

    async def request(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"metadata": {"resourceVersion": "1"}, "items": []}

    async def pages(self, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        yield {"metadata": {"resourceVersion": "1"}, "items": []}

    async def watch(self, *_: Any, **__: Any) -> AsyncGenerator[dict[str, Any], None]:
        try:
            for line in self._lines:
                yield parse_object(200, line)
        finally:
            self.sent.set()


PARSERS: Final = (
    Parser("exchange-reply", check_exchange_reply),
    Parser("resource", check_resource),
    Parser("target", check_target),
    Parser("credentials", check_credentials),
    Parser("duration", check_duration),
    Parser("settings", check_settings),
    Parser("api-status", check_api_status),
    Parser("watch-lines", check_watch_lines),
)

CORPUS: Final = Path(__file__).parent / "corpus"


def corpus(parser: Parser) -> list[Path]:
    """Return the inputs that are kept for a parser."""
    return sorted((CORPUS / parser.name).iterdir())


def _check_not_shown(thing: object, *secrets: str) -> None:
    texts = {"str": str(thing), "repr": repr(thing)}
    if isinstance(thing, BaseException):
        texts |= {"cause": repr(thing.__cause__), "context": repr(thing.__context__)}
    assert not find_leaks(texts, secrets), "a secret is shown"


def _check_wait(wait: timedelta | None) -> None:
    assert wait is None or timedelta() < wait <= timedelta(minutes=15)


def _json(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_status(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 200 <= value <= 599


def _is_text_map(value: object) -> TypeGuard[Mapping[str, str]]:
    return isinstance(value, Mapping) and all(
        isinstance(text, str) for pair in value.items() for text in pair
    )


def _is_secret(value: Mapping[str, Any]) -> bool:
    """Return whether the API server, whose Secrets are typed, could send it."""
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        return False
    owners = metadata.get("ownerReferences") or []
    managers = metadata.get("managedFields") or []
    names = ("namespace", "name", "uid", "resourceVersion")
    return (
        all(isinstance(metadata.get(name), str) for name in names)
        and all(_is_text_map(metadata.get(name) or {}) for name in ("labels", "annotations"))
        and isinstance(owners, list)
        and all(_is_text_map(owner) for owner in owners)
        and isinstance(managers, list)
        and all(_is_text_map(manager) for manager in managers)
        and _is_text_map(value.get("data") or {})
        and isinstance(value.get("type") or "", str)
    )


def _add_checksum(secret: dict[str, Any], annotation: str) -> None:
    target = read_target(secret)
    times, access_token = target.times, target.access_token
    if times is None or access_token is None:
        return
    token = StoredToken(
        access_token,
        "Bearer",
        times.refreshed_at,
        times.expires_at,
        times.refresh_at,
        times.credentials,
    )
    secret["metadata"]["annotations"][annotation] = checksum(token, UID)
