"""Rule: the token first.

Delivering a valid token never depends on metadata that may be refused, such as an owner reference
or a label: what is refused is left out, reported and retried.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.life.admission import Review, guarded_owner_references, refusing
from tests.life.lab import HOUR, MINUTE, Lab
from tests.life.paths import SECRETS

TEMPLATE = {
    "target": {
        "template": {"metadata": {"labels": {"app": "shop"}, "annotations": {"team": "alice"}}}
    }
}

CHANGES: dict[str, Callable[[Lab], None]] = {
    "owner reference stripped": lambda lab: lab.patch_secret(
        "a", {"metadata": {"ownerReferences": None}}
    ),
    "policy switched to Retain": lambda lab: lab.patch_resource(
        "a", {"spec": {"target": {"deletionPolicy": "Retain"}}}
    ),
    "another owner reference added": lambda lab: lab.patch_secret(
        "a",
        {
            "metadata": {
                "ownerReferences": [
                    *(lab.api.find(f"{SECRETS}/a") or {})["metadata"]["ownerReferences"],
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x1"},
                ]
            }
        },
    ),
}


def with_label(review: Review) -> bool:
    return "app" in (review.after["metadata"].get("labels") or {})


def with_annotation(review: Review) -> bool:
    return "team" in (review.after["metadata"].get("annotations") or {})


def with_owner(review: Review) -> bool:
    return bool(review.after["metadata"].get("ownerReferences"))


def stays_fresh(lab: Lab) -> bool:
    return all(lab.is_fresh("a") for _ in lab.passing(2 * HOUR, 2 * MINUTE))


def messages(lab: Lab) -> str:
    conditions = lab.conditions("a").values()
    return " ".join(condition["message"] for condition in conditions).lower()


@pytest.mark.parametrize("change", CHANGES)
def test_token_is_refreshed_when_owners_are_guarded(lab: Lab, change: str) -> None:
    lab.create("a")
    lab.wait_until_ready("a")
    lab.api.admission.append(guarded_owner_references)
    CHANGES[change](lab)

    assert stays_fresh(lab)
    assert lab.is_ready("a")


def test_retained_secret_is_refreshed_when_owners_are_guarded(lab: Lab) -> None:
    lab.create("a", target={"deletionPolicy": "Retain"})
    lab.wait_until_ready("a")
    lab.delete_resource("a")
    lab.api.admission.append(guarded_owner_references)
    lab.create("a")
    lab.run(MINUTE)

    assert stays_fresh(lab)


def test_guarded_owner_reference_is_reported_and_retried(lab: Lab) -> None:
    lab.create("a")
    lab.wait_until_ready("a")
    lab.api.admission.append(guarded_owner_references)
    lab.patch_secret("a", {"metadata": {"ownerReferences": None}})
    lab.run(5 * MINUTE)

    assert "owner" in messages(lab)
    assert "delete" in messages(lab)
    lab.api.admission.clear()
    lab.run(20 * MINUTE)
    assert (lab.api.find(f"{SECRETS}/a") or {})["metadata"].get("ownerReferences")


REFUSED = {"label": with_label, "annotation": with_annotation, "owner reference": with_owner}


def refuse(lab: Lab, what: str, *, existing: bool) -> None:
    """Have a policy refuse a part of the metadata of a new or an existing target."""
    policy = refusing(403, "Forbidden", "denied by policy", if_=REFUSED[what])
    spec: Mapping[str, Any] = TEMPLATE
    if existing:
        lab.create("a", target={"deletionPolicy": "Retain"})
        lab.wait_until_ready("a")
        lab.api.admission.append(policy)
        lab.patch_resource(
            "a", {"spec": {"target": {"deletionPolicy": "Delete", **spec["target"]}}}
        )
    else:
        lab.api.admission.append(policy)
        lab.create("a", **spec)
    lab.run(MINUTE)


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_token_is_delivered_without_refused_metadata(
    lab: Lab, what: str, *, existing: bool
) -> None:
    refuse(lab, what, existing=existing)

    assert lab.complaints("a")
    assert stays_fresh(lab)


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_refused_metadata_is_named(lab: Lab, what: str, *, existing: bool) -> None:
    refuse(lab, what, existing=existing)

    assert what in messages(lab)
    lab.run(2 * HOUR)
    assert what in messages(lab)
