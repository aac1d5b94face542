"""Rule: one client id is one caller.

Rate limiting is shared by client id, with or without `Retry-After`; while rate-limited, one request
probes, whatever the number of resources.
"""

from datetime import timedelta

import pytest

from tests.life.endpoint import FAILURES, OK
from tests.life.lab import HOUR, MINUTE, Lab

COUNT = 30


@pytest.fixture
def many(lab: Lab) -> Lab:
    """Return a lab with many resources of one client id."""
    lab.create_ready(COUNT)
    return lab


def all_fresh(lab: Lab) -> bool:
    return all(lab.is_fresh(f"t{number}") for number in range(COUNT))


@pytest.mark.parametrize("mode", ["rate-limited", "rate-limited for 70 s"])
def test_resources_of_one_client_id_probe_as_one(many: Lab, mode: str) -> None:
    many.endpoint.mode = mode
    many.endpoint.requests.clear()
    many.run(HOUR)

    # Backoff up to 5 min, and at most 30 s apart once tokens have expired.
    assert 5 <= len(many.endpoint.requests) <= 150


@pytest.mark.parametrize("mode", ["rate-limited", "rate-limited for 70 s"])
def test_all_resources_recover_after_a_rate_limit(many: Lab, mode: str) -> None:
    many.endpoint.mode = mode
    many.run(HOUR)
    many.endpoint.mode = OK
    many.run(6 * MINUTE)

    assert all_fresh(many)
    assert all(many.is_ready(f"t{number}") for number in range(COUNT))


@pytest.mark.parametrize("mode", ["rate-limited", "rate-limited for 70 s"])
def test_waiting_resources_are_not_reconciled_repeatedly(many: Lab, mode: str) -> None:
    many.endpoint.mode = mode
    requests = len(many.connection.requests)
    many.run(HOUR)

    # Two reads and a status, about once a minute.
    assert len(many.connection.requests) - requests <= 3 * 60 * COUNT
    assert all("rate-limited" in " ".join(many.complaints(f"t{n}")) for n in range(COUNT))


def test_all_resources_recover_within_seconds_after_a_probe(many: Lab) -> None:
    many.endpoint.mode = "rate-limited"
    many.run(HOUR)
    many.endpoint.mode = OK
    while not any(many.is_fresh(f"t{number}") for number in range(COUNT)):
        many.run(1)
    many.run(3)

    assert all_fresh(many)


def test_probe_goes_on_when_its_resource_is_deleted(many: Lab) -> None:
    many.endpoint.mode = "rate-limited for 70 s"
    many.run(40 * MINUTE)
    for number in range(0, COUNT, 2):
        many.delete_resource(f"t{number}")
    many.endpoint.mode = OK
    many.run(5 * MINUTE)

    assert all(many.is_fresh(f"t{number}") for number in range(1, COUNT, 2))


def test_new_resource_waits_for_the_probe_of_its_client_id(many: Lab) -> None:
    many.endpoint.mode = "rate-limited for 70 s"
    many.request_refresh("t0", timedelta())
    many.run(2)
    many.endpoint.requests.clear()
    for number in range(10):
        many.create(f"late{number}", same_second=True)
    many.run(30)

    assert len(many.endpoint.requests) <= 1
    assert all(many.complaints(f"late{number}") for number in range(10))


def test_other_client_ids_are_not_affected_by_a_rate_limit(many: Lab) -> None:
    many.create("other", credentialsSecretRef={"name": "two"})
    many.wait_until_ready("other")
    many.endpoint.limited = {"one": FAILURES["rate-limited"]}

    assert all(many.is_fresh("other") for _ in many.passing(2 * HOUR, MINUTE))
