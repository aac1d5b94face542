"""The memory and time that the operator's imports cost, before there is any resource."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.environment import SOURCE, environment
from tests.bench.figures import Figure
from tests.bench.settings import Settings

# In this order, each without what those before it have loaded. kopf is imported as in the operator.
_IN_ORDER = (
    *("asyncio", "ssl", "aiohttp", "pinecone_token_operator.watch.kopf_adapter", "pydantic"),
    *("httpx", "prometheus_client", "pinecone_token_operator.runtime.manager"),
)
# Loaded for a kubeconfig only.
_KUBECONFIG = "pinecone_token_operator.kube.kubeconfig"
_SETTLED_SECONDS = 3.0
_PROGRAM = """
import json
import sys
from importlib import import_module
from time import process_time


def measure():
    with open("/proc/self/smaps_rollup") as file:
        sizes = {line.split()[0]: line.split()[1] for line in file.readlines()[1:]}
    return int(sizes["Rss:"]) / 1000, int(sizes["Private_Dirty:"]) / 1000, process_time()


found = [measure()]
for module in sys.argv[1:]:
    import_module(module)
    found.append(measure())
print(json.dumps(found))
"""


def measure(settings: Settings) -> Iterator[Figure]:
    """Measure each package by itself and after the others, and then a process without resources."""
    start, *after = _run(settings.python, _IN_ORDER)
    yield Figure("Python alone", start[0], "MB")
    previous = start
    for module, found in zip(_IN_ORDER, after, strict=True):
        (alone_before, alone) = _run(settings.python, [module])
        yield Figure(f"{module}, after the above", found[0] - previous[0], "MB")
        yield Figure(f"{module}, alone", alone[0] - alone_before[0], "MB")
        previous = found
    yield Figure("all imports", previous[0], "MB")
    yield Figure("of these not shared with other processes", previous[1], "MB")
    yield Figure("all imports, CPU", previous[2] - start[2], "s")
    *_, before, after_all = _run(settings.python, [*_IN_ORDER, _KUBECONFIG])
    yield Figure("kubernetes, for a kubeconfig only", after_all[0] - before[0], "MB")
    yield Figure("the same, CPU", after_all[2] - before[2], "s")
    with environment(settings.latency, python=settings.python) as env:
        env.operator.start()
        env.operator.wait_ready(60)
        time.sleep(_SETTLED_SECONDS)
        yield Figure("memory without resources", env.operator.rss_bytes() / 1e6, "MB")
        yield Figure("memory without resources, highest", env.operator.peak_rss_bytes() / 1e6, "MB")


def _run(python: Path, modules: Sequence[str]) -> list[tuple[float, float, float]]:
    """Return the memory, the unshared memory (MB) and the processor time before and after each."""
    done = subprocess.run(
        [python, "-c", _PROGRAM, *modules],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    found: list[tuple[float, float, float]] = json.loads(done.stdout)
    return found
