import asyncio
import logging

import pytest

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.watch.health import LOG_DELAY, Namespace, WatchHealth

FORBIDDEN = ApiError(403, "Forbidden", "not allowed")
AWAY = ApiError(0, "ConnectionFailed", "no connection")
BUSY = ApiError(503, "ServiceUnavailable", "busy")


class World:
    def __init__(self) -> None:
        self.served: list[tuple[Namespace, bool]] = []
        self.health = WatchHealth(served=lambda *change: self.served.append(change))
        for what in ("secrets", "tokens"):
            for namespace in ("team-a", "team-b"):
                self.health.expect(what, namespace)

    def establish(self, *namespaces: str) -> None:
        for namespace in namespaces:
            for what in ("secrets", "tokens"):
                self.health.established(what, namespace)


@pytest.fixture
async def world() -> World:
    return World()


async def until_logged() -> None:
    await asyncio.sleep(LOG_DELAY.total_seconds() + 0.1)


async def test_health_is_not_ready_until_all_watches_are_known(world: World) -> None:
    waiting = [f"the watch of {what} is not established yet" for what in ("secrets", "tokens")]
    assert world.health.not_ready() == waiting
    world.establish("team-a")
    assert world.health.not_ready() == waiting
    world.health.established("secrets", "team-b")
    assert world.health.not_ready() == waiting[1:]
    world.health.established("tokens", "team-b")
    assert world.health.not_ready() == []
    assert world.served == [("team-a", True), ("team-b", True)]


@pytest.mark.parametrize("error", [FORBIDDEN, AWAY])
async def test_health_is_ready_when_one_namespace_fails(world: World, error: ApiError) -> None:
    world.establish("team-a")
    world.health.failed("secrets", "team-b", error)
    assert world.health.not_ready() == []
    assert world.health.unserved == {"team-b": f"failed to watch secrets ({error})"}
    assert world.health.failures("secrets") == {"team-b": str(error)}
    assert world.health.failures("tokens") == {}
    assert world.served == [("team-a", True), ("team-b", False)]


async def test_health_reports_a_namespace_that_cannot_be_listed(world: World) -> None:
    world.establish("team-a", "team-b")
    world.served.clear()
    world.health.listed("team-a", None)
    world.health.listed("team-b", FORBIDDEN)
    world.establish("team-b")
    assert world.served == [("team-b", False)]
    assert world.health.notes() == [
        "namespace team-b: failed to list resources (403 Forbidden: not allowed)"
    ]
    assert world.health.not_ready() == []
    world.health.listed("team-b", None)
    assert world.served == [("team-b", False), ("team-b", True)]
    assert world.health.notes() == []


async def test_health_is_not_ready_when_all_namespaces_fail(world: World) -> None:
    world.establish("team-a", "team-b")
    world.health.failed("secrets", "team-a", FORBIDDEN)
    world.health.failed("tokens", "team-b", FORBIDDEN)
    assert world.health.not_ready() == [
        "namespace team-a: failed to watch secrets (403 Forbidden: not allowed)",
        "namespace team-b: failed to watch tokens (403 Forbidden: not allowed)",
    ]


async def test_health_is_ready_while_the_crd_is_not_installed(world: World) -> None:
    absent = ApiError(404, "NotServed", "install the CRD")
    for namespace in ("team-a", "team-b"):
        world.health.established("secrets", namespace)
        world.health.failed("tokens", namespace, absent)
    assert world.health.not_ready() == []
    assert world.health.notes() != []


async def test_health_stays_ready_during_an_outage(world: World) -> None:
    world.establish("team-a", "team-b")
    for what in ("secrets", "tokens"):
        for namespace in ("team-a", "team-b"):
            world.health.failed(what, namespace, AWAY)
    assert world.health.not_ready() == []


async def test_health_is_not_ready_when_it_starts_in_an_outage(world: World) -> None:
    for what in ("secrets", "tokens"):
        for namespace in ("team-a", "team-b"):
            world.health.failed(what, namespace, AWAY)
    assert len(world.health.not_ready()) == 2


async def test_namespace_is_served_again_when_all_its_watches_work(world: World) -> None:
    world.establish("team-a")
    world.health.failed("secrets", "team-a", FORBIDDEN)
    world.health.failed("tokens", "team-a", FORBIDDEN)
    world.health.established("secrets", "team-a")
    assert world.served == [("team-a", True), ("team-a", False)]
    world.health.established("tokens", "team-a")
    assert world.served[2:] == [("team-a", True)]


async def test_health_logs_each_change_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.establish("team-a", "team-b")
    for _ in range(3):
        world.health.failed("secrets", "team-a", FORBIDDEN)
    await until_logged()
    world.health.failed("secrets", "team-a", FORBIDDEN)
    await until_logged()
    world.health.established("secrets", "team-a")
    await until_logged()
    assert caplog.messages == [
        "Failed to watch secrets in namespace team-a (403 Forbidden: not allowed); retrying",
        "The watch of secrets recovered in namespace team-a",
    ]


async def test_health_logs_an_outage_of_many_namespaces_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    health = WatchHealth()
    for number in range(8):
        health.failed("secrets", f"team-{number}", ApiError(503, "Busy", f"team-{number} is busy"))
    await until_logged()
    names = ", ".join(f"namespace team-{number}" for number in range(5))
    assert caplog.messages == [
        f"Failed to watch secrets in {names} and 3 more (503 Busy); retrying"
    ]


async def test_health_does_not_log_a_momentary_failure(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.establish("team-a")
    world.health.failed("secrets", "team-a", BUSY)
    world.health.established("secrets", "team-a")
    await until_logged()
    assert caplog.messages == []
