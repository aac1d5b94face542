"""The test files that take longest, where no earlier run has recorded how long each takes."""

from typing import Final

SLOW_FILES: Final = (
    "tests/integration/watch/test_namespaces.py",
    "tests/integration/watch/test_large_annotations.py",
    "tests/integration/chart/test_shards.py",
    "tests/integration/other_writers/test_contested_target.py",
    "tests/integration/issuing/test_exchange_failures.py",
    "tests/integration/chaos/test_chaos.py",
    "tests/integration/watch/test_resources.py",
    "tests/integration/reconcilers/test_main_job.py",
    "tests/integration/docs/test_docs.py",
    "tests/integration/watch/test_supervision.py",
    "tests/integration/leader_election/test_elector.py",
    "tests/integration/other_writers/test_lost_rights.py",
    "tests/integration/reconcilers/test_cost.py",
    "tests/integration/demo/test_demo.py",
    "tests/integration/release/test_image.py",
    "tests/unit/life/rules/test_fights.py",
)
"""The longest first, relative to the repository."""
