"""What the documents say to type, taken out of them so that tests can do it."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.repository import ROOT

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))

# What cannot run in a test without nodes, and why.
NOT_RUN = {
    "docker": "needs a container engine and a registry",
    "make demo": "has a test of its own",
    "make chaos": "has a test of its own",
    "make bench": "takes half an hour",
    "make test": "is what runs this test",
    "kubectl -n pinecone-token-operator rollout status": "waits for pods; make e2e does so",
    "helm -n pinecone-token-operator test": "runs a pod; make e2e does so",
}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, and the line that it begins in."""

    language: str
    text: str
    line: int


def blocks(document: Path, language: str) -> list[Block]:
    """Return the document's blocks of a language, in order."""
    text = document.read_text("utf-8")
    return [
        Block(language, found[1], text.count("\n", 0, found.start()) + 1)
        for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def script(block: Block) -> str:
    """Return a block of shell commands, without those that cannot run here."""
    kept = []
    skipping = False
    for line in block.text.splitlines():
        skipping = skipping or line.startswith(tuple(NOT_RUN))
        if not skipping:
            kept.append(line)
        skipping = skipping and line.endswith("\\")
    return "\n".join(kept)


def links(document: Path) -> list[str]:
    """Return what the document links to: a path, `#` and a heading, or both."""
    return re.findall(r"\]\(([^):]+)\)", document.read_text("utf-8"))


def anchors(document: Path) -> set[str]:
    """Return the document's headings, as a link names them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
