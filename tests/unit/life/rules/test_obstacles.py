"""Rule: nothing that blocks the operator is silent.

Whatever keeps a resource from a fresh token is in its conditions within seconds and recorded as an
Event once. `Ready` turns False at expiry even while the API server refuses every other request.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.life.admission import dead_webhook, denying_webhook, mutating
from tests.life.lab import HOUR, MINUTE, Lab
from tests.life.rights import Permission
from tests.support.leaks import find_leaks

REPORTED_WITHIN = 10

OBSTACLES: dict[str, Callable[[Lab], None]] = {
    "get of Secrets denied": lambda lab: lab.api.rights.revoked.add(Permission("get", "secrets")),
    "writes of Secrets denied": lambda lab: lab.api.rights.revoked.update(
        {Permission("create", "secrets"), Permission("patch", "secrets")}
    ),
    "dead webhook": lambda lab: lab.api.admission.append(dead_webhook()),
    **{
        f"webhook denies with {status}": lambda lab, status=status: lab.api.admission.append(  # type: ignore[misc]
            denying_webhook(status)
        )
        for status in (400, 401, 403, 409, 422, 500)
    },
    "admission empties the token": lambda lab: lab.api.admission.append(
        mutating({"data": {"access_token": ""}})
    ),
    "admission removes the token": lambda lab: lab.api.admission.append(
        mutating({"data": {"access_token": None}})
    ),
}


def remove_obstacle(lab: Lab) -> None:
    lab.api.rights.revoked.clear()
    lab.api.admission.clear()


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_obstacle_is_reported_for_a_new_resource(lab: Lab, obstacle: str) -> None:
    OBSTACLES[obstacle](lab)
    lab.create("a")
    lab.run(REPORTED_WITHIN)

    assert not lab.is_ready("a")
    assert lab.complaints("a")
    assert lab.events
    lab.run(10 * MINUTE)
    assert len(lab.events) <= 4


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_ready_is_false_after_expiry_when_blocked(lab: Lab, obstacle: str) -> None:
    lab.endpoint.lifetime = timedelta(minutes=5)
    lab.create("a")
    lab.wait_until_ready("a")
    OBSTACLES[obstacle](lab)
    lab.run(5 * MINUTE + REPORTED_WITHIN)

    assert not lab.is_ready("a")
    assert lab.complaints("a")
    assert lab.exchanges <= 4


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_token_is_written_soon_after_the_obstacle_is_removed(lab: Lab, obstacle: str) -> None:
    lab.endpoint.lifetime = timedelta(minutes=5)
    lab.create("a")
    lab.wait_until_ready("a")
    OBSTACLES[obstacle](lab)
    lab.run(10 * MINUTE)
    remove_obstacle(lab)
    lab.run(6 * MINUTE)

    assert lab.is_fresh("a")
    assert lab.is_ready("a")
    assert not lab.complaints("a")


def test_token_is_refreshed_when_the_status_cannot_be_written(lab: Lab) -> None:
    lab.api.rights.revoked.add(Permission("patch", "pineconeaccesstokens/status"))
    lab.create("a")
    lab.run(MINUTE)

    assert all(lab.is_fresh("a") for _ in lab.passing(2 * HOUR, 2 * MINUTE))
    assert lab.exchanges <= 8


@pytest.mark.parametrize("outage", [HOUR, MINUTE])
def test_status_is_retried_rarely_and_written_at_last(lab: Lab, outage: float) -> None:
    lab.api.rights.revoked.add(Permission("patch", "pineconeaccesstokens/status"))
    lab.create("a")
    lab.run(outage)

    assert len(lab.connection.requests) <= 20 + outage / MINUTE  # three an exchange among them
    lab.api.rights.revoked.clear()
    lab.run(6 * MINUTE)
    assert lab.is_ready("a")


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422, 500])
def test_refusal_that_quotes_the_secret_is_not_logged(lab: Lab, status: int) -> None:
    lab.api.admission.append(denying_webhook(status, quotes=True))
    lab.create("a")
    lab.run(MINUTE)

    texts = {text: text for text in [*lab.output, *lab.complaints("a")]}
    assert lab.exchanges
    assert not find_leaks(texts, lab.endpoint.issued)


def test_invalid_resource_is_reported_after_a_refused_status(lab: Lab) -> None:
    lab.errors_expected = True
    lab.api.rights.revoked.add(Permission("patch", "pineconeaccesstokens/status"))
    lab.create("a", refreshBefore="soon")
    lab.run(MINUTE)
    assert any("Failed to report an invalid resource (403" in line for line in lab.output)
    lab.api.rights.revoked.clear()
    lab.run(HOUR)

    assert any("spec.refreshBefore" in text for text in lab.complaints("a"))
