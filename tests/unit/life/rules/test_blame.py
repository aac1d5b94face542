"""Rule: blame correctly.

`Rejected` is said only of an OAuth error reply. The answer of a proxy, a firewall or a login page
says so and backs off as an outage does. Once a token has expired, attempts stay dense.
"""

from datetime import timedelta

import pytest

from tests.life.endpoint import DOWN, OK, Reply
from tests.life.lab import HOUR, MINUTE, Lab

HTML = {"Content-Type": "text/html"}
PAGES = {
    f"{status} {kind}": Reply(status, HTML, body)
    for status in (400, 401, 403)
    for kind, body in (
        ("page", b"<html>Just a moment</html>"),
        ("nothing", b""),
        ("JSON without an error", b'{"message": "no"}'),
    )
}


@pytest.mark.parametrize("page", PAGES)
def test_page_of_a_firewall_is_not_blamed_on_the_credentials(lab: Lab, page: str) -> None:
    lab.endpoint.limited = {"one": PAGES[page]}
    lab.create("a")
    lab.run(10)

    refreshed = lab.conditions("a")["Refreshed"]
    assert refreshed["status"] == "False"
    assert refreshed["reason"] != "Rejected"
    lab.run(20 * MINUTE)
    lab.endpoint.limited = {}
    lab.run(5 * MINUTE)
    assert lab.is_ready("a")


def test_oauth_error_is_blamed_on_the_credentials(lab: Lab) -> None:
    lab.put_credentials("one", {"client_id": "one", "client_secret": "a-wrong-client-secret"})
    lab.create("a")
    lab.run(10)

    assert lab.conditions("a")["Refreshed"]["reason"] == "Rejected"


@pytest.mark.parametrize("mode", [DOWN, "unavailable", "rate-limited"])
def test_attempts_stay_dense_after_the_expiry(lab: Lab, mode: str) -> None:
    lab.endpoint.lifetime = timedelta(minutes=5)
    lab.create("a")
    lab.wait_until_ready("a")
    lab.endpoint.mode = mode
    lab.run(2 * HOUR)
    lab.endpoint.mode = OK
    lab.run(35)

    assert lab.is_fresh("a")
