"""Rule: trust what the server stored, not what was sent.

The reply to a write is compared with what was meant; admission may have changed it.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.life.admission import mutating
from tests.life.lab import HOUR, MINUTE, Lab
from tests.support.encoding import encode


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"data": {"access_token": ""}}, id="empty token"),
        pytest.param({"data": {"access_token": None}}, id="no token"),
        pytest.param({"data": {"access_token": encode("redacted")}}, id="another token"),
        pytest.param({"data": None}, id="no data"),
    ],
)
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_ready_is_false_when_the_stored_token_is_another(
    lab: Lab, patch: Mapping[str, Any], *, existing: bool
) -> None:
    if existing:
        lab.create("a")
        lab.wait_until_ready("a")
        lab.api.admission.append(mutating(patch))
        lab.delete_secret("a")
    else:
        lab.api.admission.append(mutating(patch))
        lab.create("a")
    lab.run(10)

    assert not lab.is_ready("a")
    assert lab.complaints("a")
    for _ in lab.passing(HOUR, MINUTE):
        assert not lab.is_ready("a")
    assert lab.exchanges <= 40


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"data": {"token_type": ""}}, id="empty token type"),
        pytest.param({"data": {"expires_at": None}}, id="no expiry"),
        pytest.param({"metadata": {"labels": None}}, id="no labels"),
        pytest.param({"metadata": {"ownerReferences": None}}, id="no owner references"),
        pytest.param({"metadata": {"annotations": None}}, id="no annotations"),
    ],
)
def test_changed_metadata_is_reported_and_not_fought(lab: Lab, patch: Mapping[str, Any]) -> None:
    lab.api.admission.append(mutating(patch))
    lab.create("a")
    lab.run(MINUTE)

    assert lab.complaints("a")
    assert all(lab.is_fresh("a") for _ in lab.passing(2 * HOUR, MINUTE))
    assert lab.exchanges <= 60
    assert lab.attempts() <= 120


def test_admission_that_adds_something_is_left_alone(lab: Lab) -> None:
    added = {"labels": {"injected": "true"}, "annotations": {"injected": "true"}}
    lab.api.admission.append(mutating({"metadata": added, "data": {"extra": encode("x")}}))
    lab.create("a")
    lab.run(3 * HOUR)

    assert lab.is_fresh("a")
    assert not lab.complaints("a")
    assert lab.attempts() <= 12
