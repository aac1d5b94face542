"""What judges the operator shares no code with it."""

from pathlib import Path

import pytest

from tests.support.imports import imported, imports_operator
from tests.support.repository import ROOT

LIFE = ROOT / "tests" / "life"
MODULES = sorted(path for path in LIFE.glob("*.py") if path.name != "process.py")
# Together with `process`, which is the operator's side, these are all that a judge relies on.
SUPPORT = {"documented", "encoding", "conditions", "merge_patch", "leaks"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_simulation_imports_the_operator_only_in_process(path: Path) -> None:
    assert not imports_operator(path)
    support = {name.split(".")[2] for name in imported(path) if name.startswith("tests.support.")}
    assert support <= SUPPORT


@pytest.mark.parametrize("name", sorted(SUPPORT))
def test_support_of_the_simulation_does_not_import_the_operator(name: str) -> None:
    assert not imports_operator(ROOT / "tests" / "support" / f"{name}.py")
