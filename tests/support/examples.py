"""Resources and problems that several tests of decisions and of the status use."""

from dataclasses import replace
from typing import Any, Final

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.reconcilers.state import Known
from tests.support.builders import make_resource

KEY: Final = ("shop", "search")
NO_CREDENTIALS: Final = Problem(Reason.CREDENTIALS_NOT_FOUND, "Secret shop/account does not exist")
REFUSED: Final = Problem(
    Reason.TARGET_NOT_WRITABLE, "the API server refused to write Secret shop/search"
)
INCOMPLETE: Final = Problem(Reason.TARGET_INCOMPLETE, "the API server refused the labels")
UNREADABLE: Final = Problem(
    Reason.API_SERVER_ERROR, "the API server failed to return Secret shop/search"
)
SUSPENDED: Final = make_resource(suspend=True)
MERGE: Final = make_resource(target={"creationPolicy": "Merge"})
TOO_LARGE: Final = make_resource(target={"template": {"data": {"a": "x" * 900_001}}})


def with_target(known: Known, **changes: Any) -> Known:
    """Return the same with other knowledge of the target."""
    return known.with_targets({KEY: replace(known.targets[KEY], **changes)})
