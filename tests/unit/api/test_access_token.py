import dataclasses
import hashlib
import json
from datetime import UTC, timedelta
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pinecone_token_operator.api import group
from pinecone_token_operator.api.access_token import (
    KIND,
    PineconeAccessToken,
    Spec,
    parse_resource,
)
from pinecone_token_operator.api.common import CreationPolicy, DeletionPolicy
from pinecone_token_operator.errors import ResourceInvalid
from tests.support.documented import REFRESH_REQUESTED_AT
from tests.support.repository import ROOT
from tests.support.schema_models import find_differences

CRD = yaml.safe_load((ROOT / "crds/pineconeaccesstokens.yaml").read_text())


def resource(spec: object = None, **metadata: object) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "shop",
            "name": "search",
            "uid": "0b1f",
            "creationTimestamp": "2026-11-25T12:00:00Z",
            **metadata,
        },
        "spec": {"credentialsSecretRef": {"name": "account"}} if spec is None else spec,
    }


def with_spec(**fields: object) -> dict[str, Any]:
    return resource({"credentialsSecretRef": {"name": "account"}, **fields})


def test_parse_applies_the_documented_defaults() -> None:
    parsed = parse_resource(resource())
    reference, target = parsed.spec.credentials_secret_ref, parsed.spec.target
    assert (reference.client_id_key, reference.client_secret_key) == ("client_id", "client_secret")
    assert target.creation_policy is CreationPolicy.OWNER
    assert target.deletion_policy is DeletionPolicy.DELETE
    assert target.template.type == "Opaque"
    assert parsed.spec.refresh_before is None
    assert parsed.spec.suspend is False
    assert parsed.status == {}


def test_parse_reads_every_field_by_its_kubernetes_name() -> None:
    parsed = parse_resource(
        with_spec(
            credentialsSecretRef={"name": "a", "clientIDKey": "i", "clientSecretKey": "s"},
            target={
                "name": "t",
                "creationPolicy": "Merge",
                "deletionPolicy": "Retain",
                "template": {
                    "type": "example.com/token",
                    "metadata": {"labels": {"l": "1"}, "annotations": {"a": "2"}},
                    "data": {"authorization": "Bearer ${access_token}"},
                },
            },
            refreshBefore="10m",
            suspend=True,
        )
    )
    assert parsed.spec == TypeAdapter(Spec).validate_python(
        {
            "credentials_secret_ref": {
                "name": "a",
                "client_id_key": "i",
                "client_secret_key": "s",
            },
            "target": {
                "name": "t",
                "creation_policy": CreationPolicy.MERGE,
                "deletion_policy": DeletionPolicy.RETAIN,
                "template": {
                    "type": "example.com/token",
                    "metadata": {"labels": {"l": "1"}, "annotations": {"a": "2"}},
                    "data": {"authorization": "Bearer ${access_token}"},
                },
            },
            "refresh_before": timedelta(minutes=10),
            "suspend": True,
        }
    )


def test_resource_keys_are_in_its_own_namespace() -> None:
    parsed = parse_resource(resource())
    assert parsed.ref == ("PineconeAccessToken", "shop", "search")
    assert str(parsed.ref) == "shop/search"
    assert parsed.target_key == ("shop", "search")
    assert parsed.target_keys == (("shop", "search"),)
    assert parsed.credentials_key == ("shop", "account")
    named = parse_resource(with_spec(target={"name": "token"}))
    assert (named.target_name, named.target_key) == ("token", ("shop", "token"))


def test_parse_ignores_unknown_fields_and_takes_any_mapping() -> None:
    obj = resource(managedFields=[{}]) | {"later": 1}
    assert parse_resource(MappingProxyType(obj)) == parse_resource(resource())


def test_resource_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_resource(resource()).spec.suspend = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("annotations", "request_"),
    [
        pytest.param(None, "", id="no annotations"),
        pytest.param({"a": "b"}, "", id="another annotation"),
        pytest.param({REFRESH_REQUESTED_AT: ""}, "", id="empty"),
        pytest.param({REFRESH_REQUESTED_AT: " \t\n"}, "", id="blank"),
        pytest.param(
            {REFRESH_REQUESTED_AT: "2026-11-25T12:30:00Z"}, "2026-11-25T12:30:00Z", id="time"
        ),
        pytest.param({REFRESH_REQUESTED_AT: " 1 \n"}, "1", id="number with whitespace"),
        pytest.param({REFRESH_REQUESTED_AT: "now"}, "now", id="word"),
    ],
)
def test_refresh_request_is_any_value_of_its_annotation(
    annotations: dict[str, str] | None, request_: str
) -> None:
    metadata = {} if annotations is None else {"annotations": annotations}
    assert parse_resource(resource(**metadata)).metadata.refresh_request == request_


@given(st.dictionaries(st.text(), st.text(), max_size=3), st.none() | st.text())
def test_metadata_keeps_only_the_annotation_that_is_read(
    others: dict[str, str], text: str | None
) -> None:
    others.pop(REFRESH_REQUESTED_AT, None)
    annotations = others if text is None else {**others, REFRESH_REQUESTED_AT: text}
    metadata = parse_resource(resource(annotations=annotations)).metadata
    assert metadata.annotations == ({} if text is None else {REFRESH_REQUESTED_AT: text})
    request = (text or "").strip()
    assert metadata.refresh_request in (request, hashlib.sha256(request.encode()).hexdigest())
    assert len(metadata.refresh_request) <= 128


def test_metadata_repr_hides_annotations() -> None:
    metadata = parse_resource(resource(annotations={REFRESH_REQUESTED_AT: "s3cret"})).metadata
    assert "s3cret" not in repr(metadata)


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        pytest.param({}, "spec is required", id="empty object"),
        pytest.param(resource({}), "spec.credentialsSecretRef is required", id="no credentials"),
        pytest.param(
            with_spec(credentialsSecretRef={}),
            "spec.credentialsSecretRef.name is required",
            id="credentials without a name",
        ),
        pytest.param(
            with_spec(credentialsSecretRef={"name": "a", "clientIDKey": ["s3cret"]}),
            "spec.credentialsSecretRef.clientIDKey ",
            id="named as in Kubernetes",
        ),
        pytest.param(
            with_spec(target={"creationPolicy": "s3cret"}),
            "spec.target.creationPolicy should be 'Owner' or 'Merge'",
            id="enum",
        ),
        pytest.param(
            with_spec(target={"template": {"data": {"x": {"s3cret": 1}}}}),
            "spec.target.template.data.x ",
            id="template value",
        ),
        pytest.param(
            with_spec(refreshBefore="s3cret"),
            "spec.refreshBefore is not a duration",
            id="not a duration",
        ),
        pytest.param(
            with_spec(refreshBefore=600), "spec.refreshBefore is not", id="number for a duration"
        ),
        pytest.param(
            resource(creationTimestamp="0001-01-01T00:00:00+01:00"),
            "metadata.creationTimestamp is out of range",
            id="time before year 1",
        ),
    ],
)
def test_parse_names_the_invalid_field_and_hides_its_value(obj: dict[str, Any], path: str) -> None:
    with pytest.raises(ResourceInvalid) as caught:
        parse_resource(obj)
    assert path in str(caught.value)
    assert "kubectl explain" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_models_have_the_fields_and_defaults_of_the_crd() -> None:
    (version,) = CRD["spec"]["versions"]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    assert find_differences(properties["spec"], Spec) == []


def test_models_have_the_names_and_enums_of_the_crd() -> None:
    spec = CRD["spec"]
    (version,) = spec["versions"]
    target = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["target"]
    assert spec["group"] == group.GROUP
    assert version["name"] == group.VERSION
    assert spec["names"]["plural"] == KIND.plural
    assert spec["names"]["kind"] == KIND.name
    assert (spec["scope"] == "Namespaced") is KIND.namespaced
    assert target["properties"]["creationPolicy"]["enum"] == list(CreationPolicy)
    assert target["properties"]["deletionPolicy"]["enum"] == list(DeletionPolicy)


def test_crd_explains_every_field_and_rule() -> None:
    (version,) = CRD["spec"]["versions"]

    def check(schema: dict[str, Any], path: str) -> None:
        assert all(rule["message"] for rule in schema.get("x-kubernetes-validations", [])), path
        for name, inner in schema.get("properties", {}).items():
            assert "description" in inner or (path == "" and name == "metadata"), f"{path}.{name}"
            check(inner, f"{path}.{name}")

    check(version["schema"]["openAPIV3Schema"], "")


@pytest.mark.parametrize("name", ["access-token.yaml", "access-token-template.yaml"])
def test_examples_are_valid(name: str) -> None:
    example = yaml.safe_load((ROOT / "examples" / name).read_text())
    example["metadata"] |= resource()["metadata"]
    assert parse_resource(example).spec.credentials_secret_ref.name == "pinecone-service-account"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def mostly(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Objects of the right shape with anything at all in some of their fields."""
    properties = schema.get("properties")
    if not properties:
        return anything | st.sampled_from(["10m", "Merge", "Retain"])
    fields = {name: mostly(inner) for name, inner in properties.items()}
    return st.fixed_dictionaries({}, optional=fields) | anything


@given(
    st.dictionaries(st.text(), anything)
    | st.builds(
        lambda spec, moment, annotations: resource(
            spec, creationTimestamp=moment, annotations=annotations
        ),
        mostly(CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]),
        st.just("2026-11-25T12:00:00Z")
        | st.datetimes().map(lambda t: f"{t.isoformat()}+14:00")
        | anything,
        st.fixed_dictionaries({REFRESH_REQUESTED_AT: st.text()}) | anything,
    )
)
def test_parse_raises_nothing_but_resource_invalid(obj: dict[str, Any]) -> None:
    try:
        parsed = parse_resource(obj)
    except ResourceInvalid:
        return
    assert isinstance(parsed, PineconeAccessToken)
    assert isinstance(parsed.metadata.refresh_request, str)
    assert parsed.metadata.annotations.keys() <= {REFRESH_REQUESTED_AT}
    assert parsed.metadata.creation_timestamp.tzinfo is UTC


def test_resources_share_what_they_do_not_set() -> None:
    namespaces = (json.loads('"shop"') for _ in range(2))  # as each reply has its own
    one, other = (parse_resource(resource(namespace=each)) for each in namespaces)
    assert one.spec.target is other.spec.target
    assert one.metadata.namespace is other.metadata.namespace
    assert one.ref is one.ref
    template = {"type": "Opaque"}
    one, other = (parse_resource(with_spec(target={"template": template})) for _ in range(2))
    assert one.spec.target.template.metadata is other.spec.target.template.metadata
