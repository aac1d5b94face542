"""Inputs for the parsers: some generated for each, some from the corpus with bytes replaced."""

import base64
import json
from collections.abc import Callable
from typing import Final

from hypothesis import strategies as st

from pinecone_token_operator.targets import names as target
from tests.fuzz.parsers import CANARY, NOW, UID, Parser, corpus
from tests.support.crd_strategies import SPEC, STATUS, TIMES, anything, mostly, valid
from tests.support.documented import PREFIX, REFRESH_REQUESTED_AT

_EPOCH: Final = int(NOW.timestamp())

numbers = st.integers() | st.floats() | st.sampled_from([0, -1, 1, 1800, 1e308, 10**400])
texts = st.text() | st.sampled_from([CANARY, "", " ", "\ufeff", "Bearer", "0", "٣", "1_0"])
dates = st.sampled_from(
    [
        "Wed, 25 Nov 2026 12:00:07 GMT",
        "Wed, 25 Nov 2026 12:00:07 -0000",
        "Fri, 31 Dec 9999 23:59:59 -1200",
        "Mon, 01 Jan 0001 00:00:00 +1400",
        "25 Nov 99999999999 12:00:07",
    ]
)
encoded = st.binary(max_size=20).map(lambda raw: base64.b64encode(raw).decode()) | texts


def _jwt(payload: object) -> str:
    middle = payload if isinstance(payload, bytes) else _dump(payload)
    return f"h.{base64.urlsafe_b64encode(middle).decode().rstrip('=')}.s"


def _dump(value: object) -> bytes:
    # Python's JSON knows NaN and lone surrogates, and so do its parser and these tests.
    return json.dumps(value).encode()


def _replies() -> st.SearchStrategy[bytes]:
    tokens = (
        st.just(CANARY)
        | st.binary(max_size=20).map(_jwt)
        | st.fixed_dictionaries(
            {"exp": numbers | anything | st.integers(_EPOCH - 3, _EPOCH + 3)}
        ).map(_jwt)
    )
    bodies = st.fixed_dictionaries(
        {},
        optional={
            "access_token": tokens | texts | anything,
            "expires_in": numbers | st.integers(1, 3600) | texts | anything,
            "token_type": st.sampled_from(["Bearer", "bEARER", "mac"]) | anything,
            "error": st.sampled_from(["access_denied", "invalid_client", CANARY]) | anything,
            "error_description": st.just(CANARY),
        },
    )
    headers = st.dictionaries(
        st.sampled_from(["Retry-After", "DATE", "date", "x-ratelimit-reset"]) | st.text(),
        dates | texts | st.integers(-1, 10**12).map(str) | st.just(str(_EPOCH + 60)),
    )
    statuses = st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 503]) | (
        st.integers(200, 599)
    )
    return st.builds(
        lambda status, names, body: _dump({"status": status, "headers": names}) + b"\n" + body,
        statuses,
        headers,
        bodies.map(_dump) | anything.map(_dump) | st.binary(),
    )


def _resources() -> st.SearchStrategy[bytes]:
    metadata = {
        "namespace": st.just("shop"),
        "name": st.just("search"),
        "uid": st.just(UID),
        "generation": st.integers(0, 2**63) | anything,
        "creationTimestamp": TIMES | anything,
        "annotations": st.dictionaries(
            st.just(REFRESH_REQUESTED_AT) | st.text(), TIMES | texts, max_size=3
        )
        | anything,
    }
    return st.fixed_dictionaries(
        {
            "metadata": st.fixed_dictionaries(metadata) | anything,
            "spec": valid(SPEC) | mostly(SPEC),
        },
        optional={"status": valid(STATUS) | anything},
    ).map(_dump)


def _secrets() -> st.SearchStrategy[bytes]:
    names = (
        st.sampled_from(
            [
                target.EXPIRES_AT,
                target.REFRESH_AT,
                target.REFRESHED_AT,
                target.CREDENTIALS,
                target.CHECKSUM,
                target.LEGACY_CHECKSUM,
                target.REFRESH_REQUEST,
                target.RESOURCE_UID,
                target.TARGET,
                target.MANAGED,
                target.ALLOW_MERGE,
                target.DELETION_POLICY,
                target.RESOURCE,
            ]
        )
        | st.text().map(lambda name: PREFIX + name)
        | st.text()
    )
    times = st.fixed_dictionaries(
        {
            target.REFRESHED_AT: TIMES,
            target.EXPIRES_AT: TIMES,
            target.REFRESH_AT: TIMES,
            target.CREDENTIALS: texts,
        }
    )
    managed = st.fixed_dictionaries({target.MANAGED: anything.map(json.dumps)})
    places = st.fixed_dictionaries({target.TARGET: st.sampled_from(["shop/search", "mart/search"])})
    annotations = st.dictionaries(names, TIMES | texts, max_size=4)
    managers = st.fixed_dictionaries(
        {"manager": st.sampled_from(["pinecone-token-operator", "kubectl"])},
        optional={"time": TIMES},
    )
    owners = st.fixed_dictionaries(
        {"uid": st.sampled_from([UID, "another"])},
        optional={
            "kind": st.sampled_from(["PineconeAccessToken", "Pod"]),
            "apiVersion": st.sampled_from(["v1", f"{PREFIX}v1alpha1"]),
            "name": st.sampled_from(["search", "web"]),
        },
    )
    return st.builds(
        lambda labels, one, two, three, four, owned, managed_by, data, add_checksum: _dump(
            {
                "metadata": {
                    "uid": "5ec",
                    "resourceVersion": "7",
                    "labels": labels,
                    "annotations": one | two | three | four,
                    "ownerReferences": owned,
                    "managedFields": managed_by,
                },
                "data": data,
                "add_checksum": add_checksum,
            }
        ),
        st.dictionaries(st.just(target.RESOURCE_UID) | st.text(), texts, max_size=2),
        annotations,
        st.just({}) | times,
        st.just({}) | managed,
        st.just({}) | places,
        st.lists(owners, max_size=2),
        st.lists(managers, max_size=2),
        st.dictionaries(st.sampled_from(["access_token", "token_type", "a"]) | st.text(), encoded),
        st.sampled_from([None, "checksum", "data"]),
    )


def _credentials() -> st.SearchStrategy[bytes]:
    keys = st.sampled_from(["client_id", "client_secret", ""]) | st.text()
    secret = base64.b64encode(CANARY.encode()).decode()
    broken = base64.b64encode(CANARY.encode() + b"\xff").decode()
    return st.fixed_dictionaries(
        {
            "data": st.dictionaries(keys, encoded | st.sampled_from([secret, secret[1:], broken])),
            "id_key": keys,
            "secret_key": keys,
        }
    ).map(_dump)


def _durations() -> st.SearchStrategy[bytes]:
    parts = st.tuples(st.integers(-1, 10**8), st.sampled_from(["h", "m", "s", "ms", ""]))
    made = st.lists(parts, max_size=4).map(
        lambda pairs: "".join(f"{number}{unit}" for number, unit in pairs)
    )
    return (made | st.text()).map(lambda text: text.encode("utf-8", "replace"))


def _settings() -> st.SearchStrategy[bytes]:
    names = st.sampled_from(
        [
            *("token-url", "audience", "api-version", "ca-bundle", "namespace", "kubeconfig"),
            *("context", "max-concurrent-exchanges", "health-address", "log-level", "log-format"),
            *("resync-interval", "leader-elect", "no-leader-elect", "help"),
            *("leader-election-lease-name", "leader-election-namespace"),
            *("leader-election-lease-duration", "leader-election-renew-deadline"),
            "leader-election-retry-period",
        ]
    )
    values = (
        st.text(st.characters(exclude_characters="\0"))
        | st.sampled_from(
            [
                *("https://[", "https://a:b", "https://a@b/", "http://[::1]/", "https://é/"),
                *("~", "~nobody-at-all/file", "/", "/etc/hostname", "a" * 5000, "\ud800"),
                *("0.0.0.0:8080", "[::]:0", ":", "[]:1", "a:99999", "a:٣", "true", "10m", "0"),
                *("shop,", "shop,web", "a.b", "15s", "2s", "10s", "debug", "JSON"),
            ]
        )
        | st.integers().map(str)
    )
    argv = st.lists(
        st.builds("--{}={}".format, names, values) | names.map("--{}".format) | values, max_size=4
    )
    variables = names.map(lambda name: "PTO_" + name.upper().replace("-", "_"))
    return st.fixed_dictionaries(
        {"argv": argv, "environ": st.dictionaries(variables, values, max_size=4)}
    ).map(_dump)


def _api_statuses() -> st.SearchStrategy[bytes]:
    body = st.fixed_dictionaries(
        {},
        optional={
            "reason": st.sampled_from(["Conflict", "x" * 1000]) | anything,
            "message": st.sampled_from(["no", "x" * 1000, "one\ntwo"]) | anything,
        },
    )
    content = (body | anything).map(_dump) | st.binary()
    return st.builds(
        lambda status, rest: b"%d\n%b" % (status, rest), st.integers(300, 599), content
    )


def _watch_lines() -> st.SearchStrategy[bytes]:
    metadata = st.fixed_dictionaries(
        {},
        optional={
            "namespace": st.just("shop") | anything,
            "name": st.sampled_from(["search", "account"]) | anything,
            "uid": st.just("5ec") | anything,
            "resourceVersion": st.integers(0, 99).map(str) | anything,
        },
    )
    whole = st.fixed_dictionaries(
        {
            "namespace": st.just("shop"),
            "name": st.sampled_from(["search", "account"]),
            "uid": st.just("5ec"),
            "resourceVersion": st.integers(0, 99).map(str),
        }
    )
    status = st.fixed_dictionaries(
        {},
        optional={
            "code": st.sampled_from([410, 500, 401]) | anything,
            "reason": texts | anything,
            "message": texts | anything,
        },
    )
    events = st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"])
            | anything,
            "object": st.fixed_dictionaries({"metadata": whole | metadata}) | status | anything,
        },
    )
    lines = (events | anything).map(_dump) | st.binary()
    return st.lists(lines, max_size=4).map(b"\n".join)


_MADE: Final[dict[str, Callable[[], st.SearchStrategy[bytes]]]] = {
    "exchange-reply": _replies,
    "resource": _resources,
    "target": _secrets,
    "credentials": _credentials,
    "duration": _durations,
    "settings": _settings,
    "api-status": _api_statuses,
    "watch-lines": _watch_lines,
}


def inputs(parser: Parser) -> st.SearchStrategy[bytes]:
    """Return inputs for a parser."""
    made = _MADE[parser.name]()
    kept = [path.read_bytes() for path in corpus(parser)]
    return (
        made | made | st.builds(_replace_bytes, st.sampled_from(kept), _replacements)
        if kept
        else made
    )


_replacements = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4
)


def _replace_bytes(data: bytes, replacements: list[tuple[float, int, bytes]]) -> bytes:
    """Replace some of the bytes."""
    for part, length, others in replacements:
        at = int(part * len(data))
        data = data[:at] + others + data[at + length :]
    return data
