from dataclasses import replace
from typing import Any

import pytest

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.kube.secret_types import UNWATCHED
from pinecone_token_operator.policies.input import TargetInput
from pinecone_token_operator.policies.ownership import find_obstacle
from pinecone_token_operator.targets import names
from tests.support.builders import (
    encode,
    make_resource,
    make_secret,
    make_target_input,
    stored_secret,
)
from tests.support.merge_patch import merge

MERGE = make_resource(target={"creationPolicy": "Merge"})
NOT_OURS = stored_secret({})
OPEN = stored_secret({"metadata": {"annotations": {names.ALLOW_MERGE: "true"}}})
POD = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "a11"}


def merging(secret: dict[str, Any], **template: object) -> TargetInput:
    resource = make_resource(target={"creationPolicy": "Merge", "template": template})
    return make_target_input(resource, secret)


def open_secret(**parts: Any) -> dict[str, Any]:
    """Return someone else's Secret that allows a merge."""
    return dict(merge(OPEN, parts))


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(make_target_input(), id="created by us"),
        pytest.param(make_target_input(target=None), id="not there yet"),
        pytest.param(make_target_input(MERGE, OPEN), id="allows a merge"),
        pytest.param(merging(open_secret(data={"other": "eA=="})), id="has other keys"),
        pytest.param(
            make_target_input(MERGE, merge(make_secret(MERGE), OPEN)), id="merged into before"
        ),
        pytest.param(
            make_target_input(
                secret=make_secret(
                    make_resource({"uid": "old"}, target={"deletionPolicy": "Retain"})
                )
            ),
            id="left by a resource of the same name",
        ),
        pytest.param(
            make_target_input(secret=make_secret(make_resource({"uid": "old"}))),
            id="of a resource that was recreated",
        ),
    ],
)
def test_target_has_no_obstacle(given: TargetInput) -> None:
    assert find_obstacle(given) is None


@pytest.mark.parametrize(
    ("given", "reason", "words"),
    [
        pytest.param(
            make_target_input(rival="elder"),
            Reason.TARGET_CONFLICT,
            "elder",
            id="has a rival",
        ),
        pytest.param(
            make_target_input(secret=NOT_OURS),
            Reason.TARGET_NOT_OWNED,
            "not managed by this resource",
            id="is someone else's",
        ),
        pytest.param(
            make_target_input(secret=OPEN),
            Reason.TARGET_NOT_OWNED,
            "left untouched",
            id="allows a merge, but the policy is Owner",
        ),
        pytest.param(
            make_target_input(
                secret=merge(
                    make_secret(), {"metadata": {"annotations": {names.TARGET: "prod/search"}}}
                )
            ),
            Reason.TARGET_NOT_OWNED,
            "is a copy of another target",
            id="is a copy",
        ),
        pytest.param(
            make_target_input(
                secret=merge(
                    make_secret(make_resource({"uid": "old"})),
                    {"metadata": {"ownerReferences": [POD]}},
                )
            ),
            Reason.TARGET_NOT_OWNED,
            "not managed by this resource",
            id="was left behind and is someone else's now",
        ),
        pytest.param(
            make_target_input(MERGE, target=None),
            Reason.TOKEN_MISSING,
            'allow-merge: "true"',
            id="is to be merged into and does not exist",
        ),
        pytest.param(
            make_target_input(MERGE, NOT_OURS),
            Reason.TARGET_NOT_OWNED,
            "allow-merge",
            id="does not allow a merge",
        ),
        pytest.param(
            make_target_input(MERGE),
            Reason.TARGET_NOT_OWNED,
            "allow-merge",
            id="allows a merge no longer",
        ),
        pytest.param(
            merging(open_secret(type="helm.sh/release.v1")),
            Reason.TARGET_NOT_OWNED,
            "type helm.sh/release.v1",
            id="is of a type that is not watched",
        ),
        pytest.param(
            make_target_input(
                make_resource(target={"template": {"type": UNWATCHED[1]}}), target=None
            ),
            Reason.TARGET_NOT_OWNED,
            f"type {UNWATCHED[1]}",
            id="would be of a type that is not watched",
        ),
        pytest.param(
            merging(open_secret(data={"access_token": encode("theirs")})),
            Reason.TARGET_CONFLICT,
            "key access_token",
            id="has a key of the token already",
        ),
        pytest.param(
            merging(open_secret(data={"header": "eA=="}), data={"header": "x"}),
            Reason.TARGET_CONFLICT,
            "key header",
            id="has a key of the template already",
        ),
        pytest.param(
            merging(
                open_secret(metadata={"labels": {"app": "web"}}), metadata={"labels": {"app": "x"}}
            ),
            Reason.TARGET_CONFLICT,
            "label app",
            id="has a label of the template already",
        ),
    ],
)
def test_obstacle_names_the_secret_and_what_to_do(
    given: TargetInput, reason: Reason, words: str
) -> None:
    problem = find_obstacle(given)
    assert problem is not None
    assert problem.reason is reason
    assert "Secret shop/search" in problem.message
    assert words in problem.message


def test_unread_target_is_not_taken_for_missing() -> None:
    unreadable = Problem(Reason.API_SERVER_ERROR, "the API server failed to return it")
    given = make_target_input(MERGE, target=None, unreadable=unreadable)
    assert find_obstacle(given) is None


def test_first_obstacle_is_the_rival() -> None:
    given = replace(make_target_input(secret=NOT_OURS), rival="elder")
    problem = find_obstacle(given)
    assert problem is not None
    assert problem.reason is Reason.TARGET_CONFLICT
