import subprocess
import sys

import pytest

from tests.support.image import image_variables

# Buffers as asyncio's TLS connections have them, with small objects between them, after a larger
# block was freed, by which glibc adapts.
_PROGRAM = """
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4


block = bytearray(8 << 20)
del block
between, buffers = [], []
for _ in range(40):
    buffers.append(bytearray(256 << 10))
    between.append(bytes(1000))
before = resident()
buffers.clear()
print(before - resident())
"""


def returned(variables: dict[str, str]) -> int:
    """Return how many KiB a process returns when it has freed ten MiB of buffers."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=variables, check=True, capture_output=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_image_returns_the_memory_of_closed_connections() -> None:
    assert returned({}) < 1000
    assert returned(image_variables()) > 9000


def test_image_variables_are_those_of_the_dockerfile() -> None:
    assert image_variables()["PYTHONUNBUFFERED"] == "1"
