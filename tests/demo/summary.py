"""What the demo saw, which promises were kept, and what to try next."""

from dataclasses import dataclass

from tests.demo.damage import RECOVERY_SECONDS, Damage
from tests.demo.state import State


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise, and in which way it was broken: one phrase for each breach."""

    text: str
    breaches: list[str]


def promises(state: State, damage: Damage, *, operator_ran: bool) -> list[Promise]:
    """Judge what was seen."""
    rows = state.rows.values()
    return [
        Promise(
            "no target ever held an expired token",
            [f"{row.name} did" for row in rows if row.expired],
        ),
        Promise(
            f"each recovery came within {RECOVERY_SECONDS:.0f} s",
            [f"not after: {fault.what}" for fault in damage.faults if fault.late],
        ),
        Promise(
            "all resources were Ready at the end",
            [f"{row.name} was not" for row in rows if row.ready != "True"],
        ),
        Promise("the operator ran all the time", [] if operator_ran else ["it ended"]),
    ]


def lines(
    state: State, damage: Damage, judged: list[Promise], elapsed: float, lifetime: int
) -> list[str]:
    """Return the summary as lines of text."""
    least = "none seen" if state.least is None else f"{state.least:.0f} s of {lifetime} s"
    text = [
        "",
        f"Summary after {elapsed:.0f} s, with {len(state.rows)} resources",
        f"  refreshes: {state.refreshes}",
        f"  least life ever seen in a target: {least}",
        "  recovery took, from the end of the fault:",
    ]
    for fault in damage.faults:
        took = "never" if fault.took is None else f"{fault.took:.2f} s"
        text.append(f"    {took:>8}  {fault.what}")
    text.append("  promises:")
    for promise in judged:
        verdict = f"BROKEN ({', '.join(promise.breaches)})" if promise.breaches else "kept"
        text.append(f"    {verdict}: {promise.text}")
    return text


NEXT = """
What to try next
  make demo DEMO_KEEP=1        leave it all running, and damage things yourself
  make demo DEMO_SECONDS=600   watch longer
  KUBECONFIG=... make demo DEMO_CLUSTER=current
                               on a cluster of yours, in a namespace of the demo's own
  make cluster                 start a control plane to try things on
  README.md                    install the operator, and mount a token into a pod"""
