"""Several resources name one target, created in any order, also in the same second.

Right is: exactly one of them keeps it fresh, the others say so, and none loops.
"""

import time

from tests.support.api import Kube, eventually, secret_path, token_path
from tests.support.conditions import conditions
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

_PAIRS = 4
_CLAIMANTS = 60


def test_target_has_one_owner_when_claimed_in_one_second(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.lifetime = 12
    start_operator(options=("--resync-interval", "10s"))
    time.sleep(1.05 - time.time() % 1)
    for pair in range(_PAIRS):
        # The later one in the alphabet first: of one age it is the younger one.
        for name in ("b", "a"):
            kube.create_token(namespace, f"{name}{pair}", target={"name": f"shared-{pair}"})

    def owners() -> list[str]:
        found = kube.get(token_path(namespace)) or {}
        return sorted(
            one["spec"]["target"]["name"]
            for one in found["items"]
            if conditions(one).get("Ready", {}).get("status") == "True"
        )

    one_each = [f"shared-{pair}" for pair in range(_PAIRS)]
    eventually(lambda: owners() == one_each, "each target has one owner")
    before = [kube.secret(namespace, name) for name in one_each]
    eventually(
        lambda: all(
            kube.secret(namespace, name) != old for name, old in zip(one_each, before, strict=True)
        ),
        "each target is refreshed",
    )
    assert owners() == one_each
    assert endpoint.exchanges <= 3 * _PAIRS
    for pair in range(_PAIRS):
        reasons = {kube.reason(namespace, f"{name}{pair}", "Ready") for name in "ab"}
        assert reasons == {"TokenValid", "TargetConflict"}


def test_change_of_a_claimed_target_concerns_its_owner_only(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    for number in range(_CLAIMANTS):
        kube.create_token(namespace, f"claim-{number}", target={"name": "shared"})

    def settled() -> bool:
        found = (kube.get(token_path(namespace)) or {})["items"]
        reasons = [conditions(one).get("Ready", {}).get("reason") for one in found]
        return (
            reasons.count("TokenValid") == 1 and reasons.count("TargetConflict") == len(found) - 1
        )

    eventually(settled, "one owns it", timeout=30)
    before = operator.metric("pinecone_token_reconciles_total")
    for number in range(10):
        labels = {"theirs": str(number)}
        kube.patch(secret_path(namespace, "shared"), {"metadata": {"labels": labels}})
    kube.create_token(namespace, "last")
    kube.until(namespace, "Ready", "TokenValid", "last")
    # Linear: the work of a change does not grow with the number of those that wait.
    assert operator.metric("pinecone_token_reconciles_total") - before < _CLAIMANTS
    assert endpoint.exchanges == 2
