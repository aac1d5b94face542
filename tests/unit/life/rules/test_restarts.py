"""Rule: a restart costs one read for each resource, and misses nothing.

The target says from which version of the credentials Secret the fingerprint beside it was computed,
so that credentials are read only where they may have changed while no operator ran.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.life.endpoint import GOOD_SECRETS
from tests.life.lab import HOUR, MINUTE, Lab
from tests.life.paths import SECRETS
from tests.life.rights import Permission
from tests.support.documented import CREDENTIALS_SOURCE
from tests.support.encoding import encode

COUNT = 3


@pytest.fixture
def fresh(lab: Lab) -> Lab:
    """Return a lab with some resources that have just got their tokens."""
    lab.create_ready(COUNT)
    return lab


def reads_of_restart(lab: Lab, meanwhile: Callable[[], object] = lambda: None) -> Counter[str]:
    """Restart the operator and return which Secrets it reads then, and how often."""
    before = len(lab.connection.requests)
    lab.crash(meanwhile)
    lab.run(MINUTE)
    return Counter(
        path.rpartition("/")[2]
        for method, path in lab.connection.requests[before:]
        if method == "GET" and path.startswith(SECRETS)
    )


def metadata(lab: Lab, name: str) -> dict[str, Any]:
    found: dict[str, Any] = (lab.api.find(f"{SECRETS}/{name}") or {})["metadata"]
    return found


def source(lab: Lab, name: str) -> str | None:
    found = metadata(lab, name)["annotations"].get(CREDENTIALS_SOURCE)
    return None if found is None else str(found)


def annotate(lab: Lab, name: str, value: str | None) -> None:
    lab.patch_secret(name, {"metadata": {"annotations": {CREDENTIALS_SOURCE: value}}})


def change_secret(lab: Lab, value: str | bytes = GOOD_SECRETS[1], client_id: str = "one") -> None:
    lab.put_credentials("one", {"client_id": client_id, "client_secret": value})


def recreate(lab: Lab, value: str | bytes = GOOD_SECRETS[1]) -> None:
    lab.delete_secret("one")
    change_secret(lab, value)


def refer(lab: Lab, **reference: str) -> None:
    for number in range(COUNT):
        lab.patch_resource(f"t{number}", {"spec": {"credentialsSecretRef": reference}})


def test_restart_reads_each_target_once_and_no_credentials(fresh: Lab) -> None:
    version = fresh.api.version

    assert reads_of_restart(fresh) == {f"t{number}": 1 for number in range(COUNT)}
    assert fresh.exchanges == COUNT
    assert fresh.writes(version) == []
    assert all(fresh.is_ready(f"t{number}") for number in range(COUNT))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(change_secret, id="changed"),
        pytest.param(recreate, id="recreated with another client secret"),
        pytest.param(lambda lab: refer(lab, name="two"), id="another Secret referred to"),
        pytest.param(lambda lab: lab.configure(audience="another"), id="another audience"),
        pytest.param(lambda lab: lab.configure(token_url="https://x/"), id="another endpoint"),
    ],
)
def test_credentials_changed_while_none_ran_are_exchanged(
    fresh: Lab, change: Callable[[Lab], None]
) -> None:
    reads_of_restart(fresh, lambda: change(fresh))

    assert fresh.exchanges == 2 * COUNT
    assert not any(fresh.complaints(f"t{number}") for number in range(COUNT))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            lambda lab: lab.delete_secret("one"), "CredentialsNotFound", id="deleted Secret"
        ),
        pytest.param(
            lambda lab: change_secret(lab, b"\xff\xfe"), "CredentialsInvalid", id="not text"
        ),
        pytest.param(
            lambda lab: refer(lab, clientIDKey="absent"), "CredentialsInvalid", id="missing id"
        ),
        pytest.param(
            lambda lab: refer(lab, clientSecretKey="absent"),
            "CredentialsInvalid",
            id="missing client secret",
        ),
    ],
)
def test_unusable_credentials_are_reported_after_a_restart(
    fresh: Lab, change: Callable[[Lab], None], reason: str
) -> None:
    reads_of_restart(fresh, lambda: change(fresh))

    assert all(reason in " ".join(fresh.complaints(f"t{number}")) for number in range(COUNT))


@pytest.mark.parametrize(
    "touch",
    [
        pytest.param(
            lambda lab: lab.patch_secret("one", {"metadata": {"labels": {"touched": "yes"}}}),
            id="another label",
        ),
        pytest.param(lambda lab: recreate(lab, GOOD_SECRETS[0]), id="recreated as it was"),
    ],
)
def test_touched_credentials_are_read_and_not_exchanged(
    fresh: Lab, touch: Callable[[Lab], None]
) -> None:
    version = fresh.api.version

    reads = reads_of_restart(fresh, lambda: touch(fresh))
    assert reads == {"one": COUNT} | {f"t{number}": 1 for number in range(COUNT)}
    assert fresh.exchanges == COUNT
    assert fresh.writes(version) == []


@pytest.mark.parametrize("value", [None, "", "f" * 32], ids=["removed", "empty", "another"])
def test_wrong_source_costs_a_read_until_the_next_refresh(fresh: Lab, value: str | None) -> None:
    version = fresh.api.version
    annotate(fresh, "t0", value)
    fresh.run(MINUTE)

    assert reads_of_restart(fresh) == {"one": 1} | {f"t{number}": 1 for number in range(COUNT)}
    # It does not count as drift: no write, and no condition.
    assert fresh.exchanges == COUNT
    assert fresh.writes(version) == []
    assert not fresh.complaints("t0")

    fresh.run(HOUR / 2)
    assert fresh.exchanges == 2 * COUNT
    assert source(fresh, "t0") not in (None, value)
    assert reads_of_restart(fresh) == {f"t{number}": 1 for number in range(COUNT)}


def test_source_of_another_target_is_not_believed(fresh: Lab) -> None:
    annotate(fresh, "t0", source(fresh, "t1"))

    assert reads_of_restart(fresh)["one"] == 1


def test_credentials_changed_after_a_restore_are_exchanged(fresh: Lab) -> None:
    """A restored store assigns resourceVersions again, to Secrets with other contents."""
    snapshot = fresh.api.snapshot()
    change_secret(fresh)
    fresh.run(MINUTE)
    assert fresh.exchanges == 2 * COUNT
    before = metadata(fresh, "one")

    def restore() -> None:
        fresh.api.restore(snapshot)
        change_secret(fresh, client_id="three")

    reads_of_restart(fresh, restore)
    after = metadata(fresh, "one")
    assert (after["uid"], after["resourceVersion"]) == (before["uid"], before["resourceVersion"])
    assert fresh.exchanges == 3 * COUNT


def test_credentials_of_another_store_are_not_believed(fresh: Lab) -> None:
    """A backup may bring a target to a cluster whose versions mean something else."""
    snapshot = fresh.api.snapshot()
    credentials = snapshot.objects[f"{SECRETS}/one"]
    credentials["metadata"]["uid"] = "another"
    credentials["data"]["client_secret"] = encode(GOOD_SECRETS[1])
    before = metadata(fresh, "one")

    reads_of_restart(fresh, lambda: fresh.api.restore(snapshot))
    assert metadata(fresh, "one")["resourceVersion"] == before["resourceVersion"]
    assert fresh.exchanges == 2 * COUNT


def test_no_token_is_requested_while_credentials_are_unreadable(fresh: Lab) -> None:
    before = len(fresh.output)
    fresh.api.rights.revoked.add(Permission("get", "secrets", name="one"))
    fresh.run(25 * MINUTE)

    assert all("AccessDenied" in " ".join(fresh.complaints(f"t{n}")) for n in range(COUNT))
    assert sum("Requesting a token" in line for line in fresh.output[before:]) == COUNT
