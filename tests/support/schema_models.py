"""Compares the schema of a CRD with the models that read its objects."""

import dataclasses
from typing import Any

from pydantic_core import PydanticUndefined


def find_differences(
    schema: dict[str, Any], model: type[Any], path: str = "spec"
) -> list[tuple[str, str]]:
    """Return where the two differ: a field that one side lacks, or other defaults."""
    fields = {field.alias or name: field for name, field in model.__pydantic_fields__.items()}
    differences = [(path, name) for name in schema["properties"].keys() ^ fields.keys()]
    for name in schema["properties"].keys() & fields.keys():
        inner, field, here = schema["properties"][name], fields[name], f"{path}.{name}"
        if field.is_required() != (name in schema.get("required", [])):
            differences.append((here, "required"))
        if "properties" in inner:
            assert isinstance(field.annotation, type)
            assert dataclasses.is_dataclass(field.annotation)
            differences += find_differences(inner, field.annotation, here)
            # An object's default is the model of which nothing is said.
            default = field.get_default()
            if default is not PydanticUndefined and default != field.annotation():
                differences.append((here, "default"))
        elif not field.is_required():
            empty: object = {} if inner["type"] == "object" else None
            if inner.get("default", empty) != field.get_default(call_default_factory=True):
                differences.append((here, "default"))
    return differences
