from pathlib import Path

import pytest

from tests.chaos.settings import Settings, read_settings
from tests.support.variables import SettingsError


def test_settings_default_to_ten_minutes() -> None:
    found = read_settings({"CHAOS_SEED": "7"})
    assert found == Settings(600.0, 7, 200, Path("chaos-report").resolve())


def test_seed_is_random_when_unset() -> None:
    assert len({read_settings({}).seed for _ in range(20)}) > 1


@pytest.mark.parametrize(
    ("variable", "text", "range_"),
    [
        ("CHAOS_MINUTES", "0", "1 to 1440"),
        ("CHAOS_MINUTES", "ten", "1 to 1440"),
        ("CHAOS_SEED", "-1", "0 to 1000000000"),
        ("CHAOS_RESOURCES", "9", "10 to 2000"),
        ("CHAOS_RESOURCES", "2001", "10 to 2000"),
    ],
)
def test_invalid_variable_is_named_with_its_range(variable: str, text: str, range_: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}='{text}' .* from {range_}"):
        read_settings({variable: text})
