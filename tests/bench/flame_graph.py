"""Shows where the operator spends processor time during a minute of steady refreshing.

    make profile

It writes a flame graph to PROFILE_OUT (profile.svg). N (1000) is the number of resources.
PROFILE_RATE (10) is the refresh rate as a multiple of that of 10,000 tokens that live 1,800 s.
PROFILE_OF (steady) may also be burst or restart, and PROFILE_FORMAT (flamegraph) any format of
py-spy.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench import objects
from tests.bench.burst import first_tokens
from tests.bench.environment import LIFETIME, Environment, environment
from tests.bench.progress import say
from tests.bench.settings import read_settings
from tests.bench.steady import start_scattered

_BEFORE_START = 0.3  # seconds until Python runs in the new process


def main() -> None:
    settings = read_settings(os.environ)
    what = os.environ.get("PROFILE_OF") or "steady"
    times = float(os.environ.get("PROFILE_RATE") or 10)
    lifetime = LIFETIME
    if what == "steady":
        lifetime = max(6, round(LIFETIME * settings.resources / 10_000 / times))
    with environment(settings.latency, lifetime, python=settings.python) as env:
        objects.create_resources(env.cluster, range(settings.resources))
        if what == "restart":
            list(first_tokens(env, settings.resources))
            env.operator.stop()
        if what == "steady":
            start_scattered(env, settings.resources)
        else:
            env.operator.start()
            time.sleep(_BEFORE_START)
        record(env, settings.seconds)


def record(env: Environment, seconds: int) -> None:
    """Sample the operator's stacks for some seconds."""
    out = Path(os.environ.get("PROFILE_OUT") or "profile.svg")
    kind = os.environ.get("PROFILE_FORMAT") or "flamegraph"
    program = Path(sys.executable).with_name("py-spy")
    say(f"profiling the operator for {seconds} s")
    command = [str(program), "record", "--pid", str(env.operator.pid), "--threads", "--rate=200"]
    command += [f"--duration={seconds}", f"--format={kind}", f"--output={out}"]
    command += os.environ.get("PROFILE_OPTIONS", "").split()
    subprocess.run(command, check=True, stdout=sys.stderr)
    say(f"wrote {out}")


if __name__ == "__main__":
    main()
