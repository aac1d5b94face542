"""The structure of the chaos harness: imports point one way, and the judges are independent."""

from pathlib import Path

import pytest

from tests.support.imports import imported, imports_operator
from tests.support.repository import ROOT

CHAOS = ROOT / "tests" / "chaos"
# What each part may import of the harness, from the top down.
LAYERS = {
    "__main__": {"run", "analysis", "environment", "settings"},
    "run": {
        *("analysis", "environment", "faults", "population", "promises", "records", "retry"),
        "settings",
    },
    "analysis": {"analysis", "population", "promises", "records"},
    "faults": {"faults", "environment", "population", "promises", "records", "replicas", "retry"},
    "environment": {"observers", "population", "replicas", "retry"},
    "observers": {"observers", "records"},
    "replicas": {"records"},
    "population": {"records"},
}


def parts(path: Path) -> set[str]:
    """Return the parts of the harness that a module imports."""
    names = {path.stem for path in CHAOS.iterdir() if path.suffix == ".py" or path.is_dir()}
    words = [module.split(".") for module in imported(path)]
    return {word[2] for word in words if word[:2] == ["tests", "chaos"] and len(word) > 2} & names


@pytest.mark.parametrize(
    "path", sorted(CHAOS.rglob("*.py")), ids=lambda path: str(path.relative_to(CHAOS))
)
def test_harness_module_imports_only_layers_below(path: Path) -> None:
    part = path.relative_to(CHAOS).parts[0].removesuffix(".py")
    assert parts(path) <= LAYERS.get(part, set())


@pytest.mark.parametrize("path", sorted(CHAOS.rglob("*.py")), ids=lambda path: path.stem)
def test_harness_does_not_import_the_operator(path: Path) -> None:
    assert not imports_operator(path)
