"""Runs Argo CD's scripts by the Lua version that it uses."""

from typing import Any, cast

from lupa import lua51


def run(script: str, obj: dict[str, Any]) -> dict[str, Any]:
    """Run a script of Argo CD's, which gets the object as `obj` and returns a table."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(obj, recursive=True)
    return cast("dict[str, Any]", plain(lua.execute(script)))


def plain(value: Any) -> Any:
    """Return a table as a dict or, with keys 1 to n, as a list."""
    if lua51.lua_type(value) != "table":
        return value
    items = {key: plain(each) for key, each in value.items()}
    if items and list(items) == list(range(1, len(items) + 1)):
        return list(items.values())
    return items
