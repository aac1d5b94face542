"""Clocks that are wrong or changed: tokens are timed by the API server's clock."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support import wall_clock
from tests.support.api import Kube, eventually
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint
from tests.support.wall_clock import WallClock

pytestmark = pytest.mark.skipif(not wall_clock.can_be_set(), reason=wall_clock.MISSING)

LIFETIME = timedelta(seconds=6)


@pytest.mark.parametrize("minutes", [5, -5])
def test_changed_wall_clock_costs_no_exchange_and_no_gap(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    tmp_path: Path,
    minutes: int,
) -> None:
    endpoint.lifetime = LIFETIME.seconds
    clock = WallClock(tmp_path)
    start_operator(environ=clock.environ)
    kube.create_credentials(namespace)
    kube.create_token(namespace)
    eventually(lambda: kube.secret(namespace, "search"), "a first token")
    started = time.monotonic()

    lives = []
    for step in (minutes, 0):
        clock.set(timedelta(minutes=step))
        exchanges = endpoint.exchanges
        while endpoint.exchanges == exchanges:
            lives.append(remaining_lifetime(kube, namespace))
            assert timedelta() < lives[-1] <= LIFETIME
            time.sleep(0.05)  # how often an application might look
    # The earliest refresh is a third and a tenth of the lifetime before the expiry.
    earliest = LIFETIME.total_seconds() - 2 - 1
    assert endpoint.exchanges - 1 <= (time.monotonic() - started) / earliest + 1


@pytest.mark.parametrize("hours", [1, -1])
def test_wrong_wall_clock_is_not_written_into_secrets(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    tmp_path: Path,
    hours: int,
) -> None:
    clock = WallClock(tmp_path, ahead=timedelta(hours=hours))
    operator = start_operator(environ=clock.environ)
    kube.create_credentials(namespace)
    kube.create_token(namespace)
    eventually(lambda: kube.secret(namespace, "search"), "a first token")
    lifetime = timedelta(seconds=endpoint.lifetime)
    assert lifetime - timedelta(seconds=10) < remaining_lifetime(kube, namespace) <= lifetime
    assert "token times follow the API server's clock" in operator.log.read_text("utf-8")

    # Another process, whose clock is right, accepts the token as it is.
    operator.stop()
    start_operator()
    kube.create_token(namespace, "later")
    eventually(lambda: kube.secret(namespace, "later"), "the second process works")
    assert endpoint.exchanges == 2


def remaining_lifetime(kube: Kube, namespace: str) -> timedelta:
    secret = kube.secret(namespace, "search") or {}
    return datetime.fromisoformat(secret["expires_at"]) - datetime.now(UTC)
