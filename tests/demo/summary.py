"""The demo's summary: what it saw, which promises were kept, and what to try next."""

from tests.demo.faults import RECOVERY_SECONDS, Faults
from tests.demo.state import State
from tests.support.verdicts import Promise


def promises(state: State, faults: Faults, *, operator_ran: bool) -> list[Promise]:
    """Judge what was seen."""
    rows = state.rows.values()
    return [
        Promise(
            "no target ever held an expired token",
            [f"{row.name} did" for row in rows if row.expired],
        ),
        Promise(
            f"every recovery took less than {RECOVERY_SECONDS:.0f} s",
            [f"not after: {fault.what}" for fault in faults.injected if fault.late],
        ),
        Promise(
            "all resources were Ready at the end",
            [f"{row.name} was not" for row in rows if row.ready != "True"],
        ),
        Promise("the operator ran all the time", [] if operator_ran else ["it exited"]),
    ]


def lines(
    state: State, faults: Faults, judged: list[Promise], elapsed: float, lifetime: int
) -> list[str]:
    """Return the summary as lines of text."""
    shortest = "none seen" if state.shortest is None else f"{state.shortest:.0f} s of {lifetime} s"
    text = [
        "",
        f"Summary after {elapsed:.0f} s with {len(state.rows)} resources",
        f"  refreshes: {state.refreshes}",
        f"  shortest remaining lifetime ever seen in a target: {shortest}",
        "  time to recover, from the end of each fault:",
    ]
    for fault in faults.injected:
        took = "never" if fault.took is None else f"{fault.took:.2f} s"
        text.append(f"    {took:>8}  {fault.what}")
    text.append("  promises:")
    for promise in judged:
        verdict = f"BROKEN ({', '.join(promise.breaches)})" if promise.breaches else "kept"
        text.append(f"    {verdict}: {promise.text}")
    return text


NEXT = """
What to try next
  make demo DEMO_KEEP=1        keep everything running and break things yourself
  make demo DEMO_SECONDS=600   watch for longer
  KUBECONFIG=... make demo DEMO_CLUSTER=current
                               use your own cluster, in a namespace of the demo's
  make cluster                 start a control plane to experiment with
  README.md                    install the operator and mount a token into a pod"""
