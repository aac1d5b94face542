"""Which modules a module imports, for tests of the structure."""

import ast
from pathlib import Path


def imported(path: Path) -> set[str]:
    """Return the full names of all modules, and of what is imported from them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def imports_operator(path: Path) -> bool:
    """Return whether a module imports any of the operator's code."""
    return any(name.split(".")[0] == "pinecone_token_operator" for name in imported(path))
