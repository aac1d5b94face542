"""Shows where the operator's processor time goes in a steady minute.

    make profile

It writes a flame graph to PROFILE_OUT (profile.svg). N (1000) is the number of resources,
PROFILE_RATE (10) how many times the refreshes of 10,000 tokens of 1,800 s there are, PROFILE_OF
(steady) may also be burst or restart, and PROFILE_FORMAT (flamegraph) what py-spy can write.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench import objects
from tests.bench.burst import first_tokens
from tests.bench.place import LIFETIME, Place, place
from tests.bench.progress import say
from tests.bench.settings import read_settings
from tests.bench.steady import start_scattered

_BEFORE_START = 0.3  # s, in which the process is there and Python is not yet


def main() -> None:
    settings = read_settings(os.environ)
    what = os.environ.get("PROFILE_OF") or "steady"
    times = float(os.environ.get("PROFILE_RATE") or 10)
    lifetime = LIFETIME
    if what == "steady":
        lifetime = max(6, round(LIFETIME * settings.resources / 10_000 / times))
    with place(settings.latency, lifetime) as here:
        objects.create_resources(here.cluster, range(settings.resources))
        if what == "restart":
            list(first_tokens(here, settings.resources))
            here.operator.stop()
        if what == "steady":
            start_scattered(here, settings.resources)
        else:
            here.operator.start()
            time.sleep(_BEFORE_START)
        record(here, settings.seconds)


def record(here: Place, seconds: int) -> None:
    """Look at the operator's stacks for some seconds."""
    out = Path(os.environ.get("PROFILE_OUT") or "profile.svg")
    kind = os.environ.get("PROFILE_FORMAT") or "flamegraph"
    program = Path(sys.executable).with_name("py-spy")
    say(f"looking at the operator for {seconds} s")
    command = [str(program), "record", "--pid", str(here.operator.pid), "--threads", "--rate=200"]
    command += [f"--duration={seconds}", f"--format={kind}", f"--output={out}"]
    command += os.environ.get("PROFILE_OPTIONS", "").split()
    subprocess.run(command, check=True, stdout=sys.stderr)
    say(f"see {out}")


if __name__ == "__main__":
    main()
