"""`doctor`: prints the findings of an examination."""

from collections.abc import Sequence
from typing import Final

from pinecone_token_operator.kubectl_plugin.doctor import Examination
from pinecone_token_operator.kubectl_plugin.findings import Finding, Severity
from pinecone_token_operator.kubectl_plugin.kinds import Reference
from pinecone_token_operator.kubectl_plugin.output import GREEN, RED, YELLOW, Output, clean
from pinecone_token_operator.kubectl_plugin.session import Session

_COLORS: Final = {Severity.ERROR: RED, Severity.WARNING: YELLOW, Severity.NOTICE: ""}


def doctor(session: Session, ref: Reference | None, *, reads_files: bool) -> int:
    """Examine one resource or all, print the findings, and return the exit code.

    Raises:
        ApiError: the resources cannot be read.
    """
    resources = [session.get(ref)] if ref else list(session.list())
    examination = Examination(session, reads_files=reads_files)
    examination.examine(resources)
    print_findings(examination.findings, session.output)
    if examination.unchecked:
        session.output.line("Not checked:")
        for each in examination.unchecked:
            session.output.line(f"  {clean(each)}")
        session.output.line()
    session.output.line(_summary(len(resources), examination.findings, session.output))
    return int(any(each.severity > Severity.NOTICE for each in examination.findings))


def print_findings(findings: Sequence[Finding], output: Output) -> None:
    """Print findings, the worst first."""
    for each in sorted(findings, key=lambda one: -one.severity):
        severity = output.color(f"{each.severity.name:<7}", _COLORS[each.severity])
        output.line(f"{severity}  {clean(each.subject)}")
        output.line(f"         {clean(each.problem)}")
        if each.advice:
            output.line(f"         What to do: {clean(each.advice)}")
        output.line()


def _summary(resources: int, findings: Sequence[Finding], output: Output) -> str:
    of = _count(resources, "resource")
    if not findings:
        return output.color(f"No problems found in {of}.", GREEN)
    parts = [
        _count(sum(each.severity is severity for each in findings), severity.name.lower())
        for severity in reversed(Severity)
    ]
    return f"{', '.join(parts)} in {of}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
