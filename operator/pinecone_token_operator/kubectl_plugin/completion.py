"""Shell completion by kubectl's convention.

kubectl runs `kubectl_complete-pinecone_token` with the words after the plugin's name, the last of
which is incomplete, and reads lines in the protocol of Cobra: a candidate each, then a colon and a
directive.

https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

NO_FILES: Final = 4
"""Cobra's `ShellCompDirectiveNoFileComp`."""
FILES: Final = 0

Lookup = Callable[[str], Iterable[str]]
"""Returns the names of what a word stands for: `context`, `namespace` or `resource`."""


def complete(
    words: Sequence[str],
    flags: Mapping[str, Sequence[str]],
    values: Mapping[str, str | Sequence[str]],
    takes_name: Iterable[str],
    look_up: Lookup,
) -> tuple[list[str], int]:
    """Return the candidates for the last word, and the directive.

    Args:
        words: all words; the last is the incomplete one.
        flags: each command's flags.
        values: what follows a flag that takes a value: choices, or what to look up.
        takes_name: the commands that take a resource's name.
        look_up: finds names in the kubeconfig or the cluster.
    """
    *before, word = words or [""]
    previous = before[-1] if before else ""
    if previous in values:
        return _values(values[previous], word, look_up)
    name, equals, start = word.partition("=")
    if equals and name in values:
        found, directive = _values(values[name], start, look_up)
        return [f"{name}={each}" for each in found], directive
    command = next((each for each in _positional(before, values)), "")
    if word.startswith("-"):
        return _starting(flags.get(command, flags[""]), word), NO_FILES
    if not command:
        return _starting([each for each in flags if each], word), NO_FILES
    if command in takes_name and len(_positional(before, values)) == 1:
        return _starting(look_up("resource"), word), NO_FILES
    return [], NO_FILES


def _values(kind: str | Sequence[str], word: str, look_up: Lookup) -> tuple[list[str], int]:
    if kind == "file":
        return [], FILES
    return _starting(look_up(kind) if isinstance(kind, str) else kind, word), NO_FILES


def _positional(words: Sequence[str], values: Mapping[str, object]) -> list[str]:
    pairs = zip(["", *words], words, strict=False)
    return [word for before, word in pairs if not word.startswith("-") and before not in values]


def _starting(candidates: Iterable[str], word: str) -> list[str]:
    return [each for each in candidates if each.startswith(word)]
