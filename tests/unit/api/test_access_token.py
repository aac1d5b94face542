import dataclasses
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from pydantic_core import PydanticUndefined

from pinecone_token_operator.api import access_token
from pinecone_token_operator.api.access_token import (
    REFRESH_REQUESTED_AT,
    CreationPolicy,
    DeletionPolicy,
    PineconeAccessToken,
    Spec,
    parse_resource,
)
from pinecone_token_operator.errors import ResourceInvalid
from tests.support.repository import ROOT

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


def test_the_least_resource_has_the_documented_defaults() -> None:
    parsed = parse_resource(resource())
    reference, target = parsed.spec.credentials_secret_ref, parsed.spec.target
    assert (reference.client_id_key, reference.client_secret_key) == ("client_id", "client_secret")
    assert target.creation_policy is CreationPolicy.OWNER
    assert target.deletion_policy is DeletionPolicy.DELETE
    assert target.template.type == "Opaque"
    assert parsed.spec.refresh_before is None
    assert parsed.spec.suspend is False
    assert parsed.status == {}


def test_a_full_resource_is_read_by_its_kubernetes_names() -> None:
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


def test_keys() -> None:
    parsed = parse_resource(resource())
    assert parsed.key == parsed.target_key == ("shop", "search")
    assert parsed.credentials_key == ("shop", "account")
    named = parse_resource(with_spec(target={"name": "token"}))
    assert (named.target_name, named.target_key) == ("token", ("shop", "token"))


def test_unknown_fields_are_ignored_and_any_mapping_will_do() -> None:
    obj = resource(managedFields=[{}]) | {"later": 1}
    assert parse_resource(MappingProxyType(obj)) == parse_resource(resource())


def test_a_resource_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_resource(resource()).spec.suspend = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param(
            "2026-11-25T12:30:00Z", datetime(2026, 11, 25, 12, 30, tzinfo=UTC), id="UTC is read"
        ),
        pytest.param(
            "2026-11-25t13:30:00.5+01:00",
            datetime(2026, 11, 25, 12, 30, 0, 500000, tzinfo=UTC),
            id="another zone becomes UTC",
        ),
        pytest.param("2026-11-25T12:30:00", None, id="a time without a zone is ignored"),
        pytest.param("2026-11-25", None, id="a date is ignored"),
        pytest.param("2026-13-25T12:30:00Z", None, id="a thirteenth month is ignored"),
        pytest.param("0001-01-01T00:00:00+01:00", None, id="a time before year 1 is ignored"),
        pytest.param("now", None, id="a word is ignored"),
        pytest.param("", None, id="an empty annotation is ignored"),
    ],
)
def test_reads_when_a_refresh_was_asked_for(text: str, moment: datetime | None) -> None:
    requested = parse_resource(resource(annotations={REFRESH_REQUESTED_AT: text}))
    assert requested.refresh_requested_at == moment
    assert moment is None or requested.refresh_requested_at.tzinfo is UTC  # type: ignore[union-attr]


def test_no_annotation_asks_for_no_refresh() -> None:
    assert parse_resource(resource()).refresh_requested_at is None


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        pytest.param({}, "spec: is required", id="an empty object lacks its spec"),
        pytest.param(
            resource({}), "spec.credentialsSecretRef: is required", id="credentials are required"
        ),
        pytest.param(
            with_spec(credentialsSecretRef={}),
            "spec.credentialsSecretRef.name: is required",
            id="their name is required",
        ),
        pytest.param(
            with_spec(credentialsSecretRef={"name": "a", "clientIDKey": ["s3cret"]}),
            "spec.credentialsSecretRef.clientIDKey: ",
            id="a field is called what Kubernetes calls it",
        ),
        pytest.param(
            with_spec(target={"creationPolicy": "s3cret"}),
            "spec.target.creationPolicy: should be 'Owner' or 'Merge'",
            id="an enum says what it takes",
        ),
        pytest.param(
            with_spec(target={"template": {"data": {"x": {"s3cret": 1}}}}),
            "spec.target.template.data.x: ",
            id="a template's value is not shown",
        ),
        pytest.param(
            with_spec(refreshBefore="s3cret"),
            "spec.refreshBefore: is not a duration",
            id="a duration says what it takes",
        ),
        pytest.param(
            with_spec(refreshBefore=600), "spec.refreshBefore: is not", id="a number is no duration"
        ),
        pytest.param(
            resource(creationTimestamp="0001-01-01T00:00:00+01:00"),
            "metadata.creationTimestamp: is out of range",
            id="a time that UTC cannot tell",
        ),
    ],
)
def test_refuses_and_names_the_field(obj: dict[str, Any], path: str) -> None:
    with pytest.raises(ResourceInvalid) as caught:
        parse_resource(obj)
    assert path in str(caught.value)
    assert "kubectl explain" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


def walk(schema: dict[str, Any], model: type[Any], path: str = "spec") -> list[tuple[str, str]]:
    """Return where the two differ: a field that one side lacks, or other defaults."""
    fields = {field.alias or name: field for name, field in model.__pydantic_fields__.items()}
    differences = [(path, name) for name in schema["properties"].keys() ^ fields.keys()]
    for name in schema["properties"].keys() & fields.keys():
        inner, field, here = schema["properties"][name], fields[name], f"{path}.{name}"
        if field.is_required() != (name in schema.get("required", [])):
            differences.append((here, "required"))
        if "properties" in inner:
            assert isinstance(field.annotation, type)
            assert dataclasses.is_dataclass(field.annotation)
            differences += walk(inner, field.annotation, here)
            # An object's default is the model of which nothing is said.
            default = field.get_default()
            if default is not PydanticUndefined and default != field.annotation():
                differences.append((here, "default"))
        elif not field.is_required():
            empty: object = {} if inner["type"] == "object" else None
            if inner.get("default", empty) != field.get_default(call_default_factory=True):
                differences.append((here, "default"))
    return differences


def test_the_crd_and_the_models_have_the_same_fields_and_defaults() -> None:
    (version,) = CRD["spec"]["versions"]
    assert walk(version["schema"]["openAPIV3Schema"]["properties"]["spec"], Spec) == []


def test_the_crd_and_the_models_have_the_same_names_and_enums() -> None:
    spec = CRD["spec"]
    (version,) = spec["versions"]
    target = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["target"]
    assert spec["group"] == access_token.GROUP
    assert version["name"] == access_token.VERSION
    assert spec["names"]["plural"] == access_token.PLURAL
    assert spec["names"]["kind"] == access_token.KIND
    assert target["properties"]["creationPolicy"]["enum"] == list(CreationPolicy)
    assert target["properties"]["deletionPolicy"]["enum"] == list(DeletionPolicy)


def test_every_field_and_rule_is_explained() -> None:
    (version,) = CRD["spec"]["versions"]

    def check(schema: dict[str, Any], path: str) -> None:
        assert all(rule["message"] for rule in schema.get("x-kubernetes-validations", [])), path
        for name, inner in schema.get("properties", {}).items():
            assert "description" in inner or (path == "" and name == "metadata"), f"{path}.{name}"
            check(inner, f"{path}.{name}")

    check(version["schema"]["openAPIV3Schema"], "")


@pytest.mark.parametrize("name", ["access-token.yaml", "access-token-template.yaml"])
def test_the_examples_parse(name: str) -> None:
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
def test_parsing_raises_nothing_but_resource_invalid(obj: dict[str, Any]) -> None:
    try:
        parsed = parse_resource(obj)
    except ResourceInvalid:
        return
    assert isinstance(parsed, PineconeAccessToken)
    requested = parsed.refresh_requested_at
    assert requested is None or requested.tzinfo is UTC
