"""Reads README.md and docs/: the commands to run, the sections, links and anchors to check."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.repository import ROOT

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))

# Commands that cannot run in a test without nodes, each with the reason.
NOT_RUN = {
    "docker": "needs a container engine and a registry",
    "make version": "has a test of its own",
    "make dist": "has a test of its own",
    "(cd dist": "needs what make dist writes",
    "make lint": "needs the whole checkout",
    "make e2e": "needs root and a quarter of an hour",
    "skopeo": "needs a registry",
    "helm push": "needs a registry",
    "kubectl apply --server-side -f dist": "needs what make dist writes; its test applies it",
    "make demo": "has a test of its own",
    "make chaos": "has a test of its own",
    "make bench": "takes half an hour",
    "make test": "is what runs this test",
    "kubectl -n argocd": "needs Argo CD",
    "kubectl -n pinecone-token-operator rollout status": "waits for pods; make e2e does so",
    "helm -n pinecone-token-operator test": "runs a pod; make e2e does so",
}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block: its language, its text and the line on which it starts."""

    language: str
    text: str
    line: int


def blocks(document: Path, language: str) -> list[Block]:
    """Return the document's code blocks of a language, in order."""
    text = document.read_text("utf-8")
    return [
        Block(language, found[1], text.count("\n", 0, found.start()) + 1)
        for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def script(block: Block) -> str:
    """Return a block of shell commands without those in `NOT_RUN`."""
    kept = []
    skipping = False
    for line in block.text.splitlines():
        skipping = skipping or line.startswith(tuple(NOT_RUN))
        if not skipping:
            kept.append(line)
        skipping = skipping and line.endswith("\\")
    return "\n".join(kept)


def section(document: Path, heading: str) -> str:
    """Return the text below a second-level heading, up to the next one.

    Raises:
        ValueError: the document has no such heading.
    """
    text = document.read_text("utf-8")
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{document.name} has no section '## {heading}'")
    return found[1]


def links(document: Path) -> list[str]:
    """Return the document's relative links: a path, an anchor, or both."""
    return re.findall(r"\]\(([^):]+)\)", document.read_text("utf-8"))


def anchors(document: Path) -> set[str]:
    """Return the anchors of the document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
