"""Runs tests while the programs that others need are downloaded or built.

A test needs a program if it uses the fixture `cluster`, or says so: `pytest.mark.programs("helm")`.
"""

import gc
import os
import shutil
import signal
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

from tests.support.cluster import Cluster
from tests.support.control_plane import BuildError, found
from tests.support.control_plane.pins import PROGRAMS
from tests.support.file_order import file_order
from tests.support.session_programs import Builder
from tests.support.slow_files import SLOW_FILES

CLUSTER: Final = (*Cluster.PROGRAMS, Cluster.CONTROLLERS)

_SHARED = pytest.StashKey[Path]()
_STDERR = pytest.StashKey[int]()
_BUILDER = pytest.StashKey[Builder]()
_THERE = pytest.StashKey[frozenset[str]]()
_UNKNOWN_SECONDS: Final = 1.0
_CACHED = "suite/seconds"  # that each file took; in pytest's cache
_current_seconds: defaultdict[str, float] = defaultdict(float)


# How fast an example is generated and runs says something about the machine, not about the product.
_ANY_SPEED: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same commit gives the same result; `make fuzz` looks for what these examples leave out.
settings.register_profile("repeatable", _ANY_SPEED, derandomize=True)
settings.register_profile("search", _ANY_SPEED, max_examples=1000, print_blob=True)
settings.load_profile("repeatable")


# API servers and other Go programs of tests live for seconds and stay small: a fifth of their
# processor time went into collecting garbage. Large ones, of benchmarks, need the collector.
os.environ.setdefault("GOGC", "1200")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what runs in the background with SIGINT ignored, and so would be all programs
    # that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "programs(*names): the test runs these programs")
    shared = _workerinput(config).get("programs")
    # The controller decides, because all workers need the same order while programs are built.
    there = _workerinput(config).get("there")
    config.stash[_THERE] = frozenset(found(PROGRAMS) if there is None else there)
    config.stash[_SHARED] = Path(shared or tempfile.mkdtemp(prefix="test-programs-"))
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        config.stash[_STDERR] = os.dup(2)  # which tests do not capture

    def say(line: str) -> None:
        start = "\n" if config.get_terminal_writer().width_of_current_line else ""
        os.write(config.stash[_STDERR], f"{start}{line}\n".encode())

    config.stash[_BUILDER] = Builder(config.stash[_SHARED], say)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _BUILDER not in config.stash:
        return  # another plugin could not be configured
    config.stash[_BUILDER].stop()
    os.close(config.stash[_STDERR])
    if not _workerinput(config):
        shutil.rmtree(config.stash[_SHARED])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass a worker of pytest-xdist what all processes share."""
    node.workerinput["programs"] = str(node.config.stash[_SHARED])
    node.workerinput["there"] = sorted(node.config.stash[_THERE])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    node.config.stash[_BUILDER].start()


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reports to the controller
def pytest_collection_finish(session: pytest.Session) -> None:
    # What was imported stays: to look through it after each file takes longer than many a file.
    gc.collect()
    gc.freeze()
    config = session.config
    worker = _workerinput(config).get("workerid")
    if not session.items or config.option.collectonly or worker not in {None, "gw0"}:
        return
    config.stash[_BUILDER].report({name for item in session.items for name in _needed(item)})
    if worker is None:
        config.stash[_BUILDER].start()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the files; see `file_order`."""
    needed: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        needed[_file(item.nodeid)] |= _needed(item)
    there = config.stash[_THERE]
    seconds = {**SLOW_FILES, **_cached_seconds(config)}
    order = file_order(
        busy=[file for file, names in needed.items() if not names],
        waiting=[file for file, names in needed.items() if names and names <= there],
        last=[file for file, names in needed.items() if names - there],
        seconds=lambda file: seconds.get(file, _UNKNOWN_SECONDS),
    )
    rank = {file: place for place, file in enumerate(order)}
    items.sort(key=lambda item: rank[_file(item.nodeid)])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if names := _needed(item):
        try:
            item.config.stash[_BUILDER].provide(names)
        except BuildError as error:
            pytest.fail(str(error), pytrace=False)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _current_seconds[_file(report.nodeid)] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    # Waiting for programs says nothing of a file.
    cache = _cache(config)
    if cache and not _workerinput(config) and not config.stash[_BUILDER].has_built:
        cache.set(_CACHED, _cached_seconds(config) | _current_seconds)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    """Find what was not closed while it is clear which file left it."""
    yield
    gc.collect()  # warns of it, and warnings are errors


def _needed(item: pytest.Item) -> set[str]:
    marked = {name for mark in item.iter_markers("programs") for name in mark.args}
    return marked.union(CLUSTER if "cluster" in getattr(item, "fixturenames", ()) else ())


def _file(node_id: str) -> str:
    return node_id.partition("::")[0]


def _cached_seconds(config: pytest.Config) -> dict[str, float]:
    cache = _cache(config)
    found: dict[str, float] = cache.get(_CACHED, {}) if cache else {}
    return found


def _cache(config: pytest.Config) -> pytest.Cache | None:
    found: pytest.Cache | None = getattr(config, "cache", None)  # not with -p no:cacheprovider
    return found


def _workerinput(config: pytest.Config) -> dict[str, Any]:
    found: dict[str, Any] = getattr(config, "workerinput", {})
    return found
