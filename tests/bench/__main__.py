"""Measures the operator on a cluster of its own; it prints figures and never fails because of one.

    make bench

N (1000) is the number of resources. BENCH_PARTS names the parts to run, out of changes, burst,
steady, restart, growth, others, shards, namespaces, imports, neighbors. BENCH_LATENCY_MS (50) is
the endpoint's response time, BENCH_SECONDS (60) how long steady refreshing is measured,
BENCH_GROWTH (100,1000,10000) the numbers of resources to compare, BENCH_FOREIGN (50000) the number
of unrelated Secrets, BENCH_SHARDS (4) the number of operators that share the work on N resources
each, BENCH_PYTHON the interpreter of the operator, for example that of a virtual environment
without the tools of development, BENCH_JSON the file for the figures.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from tests.bench import (
    burst,
    changes,
    growth,
    imports,
    machine,
    namespaces,
    neighbors,
    other_secrets,
    restart,
    shards,
    steady,
)
from tests.bench.figures import Figure, table
from tests.bench.progress import say
from tests.bench.settings import Settings, read_settings
from tests.support.program import run_program

_PARTS: dict[str, Callable[[Settings], Iterator[Figure]]] = {
    "changes": changes.measure,
    "burst": burst.measure,
    "steady": steady.measure,
    "restart": restart.measure,
    "growth": growth.measure,
    "others": other_secrets.measure,
    "shards": shards.measure,
    "namespaces": namespaces.measure,
    "imports": imports.measure,
    "neighbors": neighbors.measure,
}


def main() -> int:
    """Run the parts, and return the exit status."""
    settings = read_settings(os.environ)
    about = {"machine": machine.describe(settings.python), "settings": asdict(settings)}
    parts: dict[str, list[Figure]] = {}
    times: dict[str, dict[str, float]] = {}
    for part in settings.parts:
        started = time.monotonic()
        load = machine.load()
        say(f"{part}, at a load average of {load:.2f}")
        parts[part] = []
        for figure in _PARTS[part](settings):
            parts[part].append(figure)
            say(f"  {figure.name}: {figure.value:.4g} {figure.unit}")
        times[part] = {"seconds": time.monotonic() - started, "load before": load}
    print(table(parts))
    _write(settings, {**about, "times": times, "parts": _as_json(parts)})
    return 0


def _as_json(parts: dict[str, list[Figure]]) -> dict[str, list[dict[str, Any]]]:
    def one(figure: Figure) -> dict[str, Any]:
        value = None if math.isnan(figure.value) else figure.value
        return {key: what for key, what in {**asdict(figure), "value": value}.items() if what != ""}

    return {part: [one(figure) for figure in figures] for part, figures in parts.items()}


def _write(settings: Settings, everything: dict[str, Any]) -> None:
    text = json.dumps(everything, indent=2, default=str)
    if settings.json is None:
        print(f"\n{text}")
    else:
        settings.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(run_program("bench", main))
