from datetime import timedelta
from typing import Any

import pytest

from pinecone_token_operator.leader_election.lease import (
    Sighting,
    acquired,
    holder_of,
    released,
    renewed,
)
from tests.support.builders import after

DURATION = timedelta(seconds=15)
NEW = acquired(None, "operator", "one", DURATION, after(0))


def sighting(**spec: Any) -> Sighting:
    return Sighting({"metadata": {"resourceVersion": "7"}, "spec": spec}, 100.0)


@pytest.mark.parametrize(
    ("spec", "free_at"),
    [
        pytest.param({"holderIdentity": "one", "leaseDurationSeconds": 15}, 115.0, id="held"),
        pytest.param({"holderIdentity": "", "leaseDurationSeconds": 1}, 100.0, id="released"),
        pytest.param({}, 100.0, id="never held"),
        pytest.param({"holderIdentity": "one"}, 100.0, id="without a duration"),
    ],
)
def test_lease_is_free_when_not_renewed_for_its_duration(
    spec: dict[str, Any], free_at: float
) -> None:
    assert sighting(**spec).free_at == free_at


def test_lease_without_a_spec_has_no_holder() -> None:
    assert holder_of({"metadata": {"resourceVersion": "7"}}) == ""


def test_first_holder_creates_the_lease() -> None:
    assert NEW == {
        "metadata": {"name": "operator"},
        "spec": {
            "holderIdentity": "one",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-11-25T12:00:00.000000Z",
            "renewTime": "2026-11-25T12:00:00.000000Z",
            "leaseTransitions": 0,
        },
    }


def test_renewal_changes_only_the_renew_time() -> None:
    later = renewed(NEW, after(1))
    assert later["spec"] == {**NEW["spec"], "renewTime": "2026-11-25T12:01:00.000000Z"}


def test_next_holder_keeps_metadata_and_counts_the_transition() -> None:
    before = {**released(NEW), "metadata": {"name": "operator", "resourceVersion": "7"}}
    assert holder_of(before) == ""
    after_it = acquired(before, "operator", "two", DURATION, after(2))
    assert after_it["metadata"] == before["metadata"]  # so that only one of two gets it
    assert holder_of(after_it) == "two"
    assert after_it["spec"]["leaseTransitions"] == 1
    assert after_it["spec"]["leaseDurationSeconds"] == 15
