import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.access_token import parse_resource
from pinecone_token_operator.api.stored_status import StoredStatus
from pinecone_token_operator.errors import ResourceInvalid

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)
OBJECT: dict[str, Any] = {
    "metadata": {"name": "search", "uid": "u", "creationTimestamp": "2026-11-25T12:00:00Z"},
    "spec": {"credentialsSecretRef": {"name": "account"}},
}


@given(st.dictionaries(st.text(), JSON))
def test_stored_status_returns_what_was_written(status: dict[str, Any]) -> None:
    stored = StoredStatus({})
    stored.write(status)
    assert stored.read() == status
    assert stored == StoredStatus(status)


def test_stored_status_is_not_changed_through_what_it_returns() -> None:
    stored = StoredStatus({"conditions": [{"type": "Ready"}]})
    stored.read()["conditions"].clear()
    assert stored.read() == {"conditions": [{"type": "Ready"}]}


def test_resource_holds_its_status_as_text_only() -> None:
    conditions = [{"type": "Ready", "message": f"message {number}"} for number in range(9)]
    resource = parse_resource({**OBJECT, "status": {"conditions": conditions}})
    assert resource.status == {"conditions": conditions}
    (held,) = (getattr(resource.stored_status, name) for name in StoredStatus.__slots__)
    assert type(held) is str
    assert sys.getsizeof(held) < 500


def test_status_that_is_no_object_is_rejected() -> None:
    with pytest.raises(ResourceInvalid, match="status should be an object"):
        parse_resource({**OBJECT, "status": "fine"})
