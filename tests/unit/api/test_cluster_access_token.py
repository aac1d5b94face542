import dataclasses
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pinecone_token_operator.api.cluster_access_token import (
    KIND,
    ClusterSpec,
    parse_cluster_resource,
)
from pinecone_token_operator.api.group import GROUP, VERSION
from pinecone_token_operator.api.label_selector import LabelSelector
from pinecone_token_operator.api.labels import Operator
from pinecone_token_operator.errors import ResourceInvalid
from tests.support.repository import CLUSTER_CRD, CRD
from tests.support.schema_models import find_differences

SCHEMA = yaml.safe_load(CLUSTER_CRD.read_text())["spec"]
(CRD_VERSION,) = SCHEMA["versions"]
PROPERTIES = CRD_VERSION["schema"]["openAPIV3Schema"]["properties"]
SELECTOR = TypeAdapter(LabelSelector)


def resource(**spec: object) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "shared",
            "uid": "0b1f",
            "creationTimestamp": "2026-11-25T12:00:00Z",
        },
        "spec": {"credentialsSecretRef": {"name": "account"}, "namespaceSelector": {}, **spec},
    }


def test_parse_takes_credentials_from_the_given_namespace_only() -> None:
    parsed = parse_cluster_resource(
        resource(credentialsSecretRef={"name": "account", "namespace": "theirs"}), "operators"
    )
    assert parsed.credentials_key == ("operators", "account")
    assert parsed.ref == ("ClusterPineconeAccessToken", "", "shared")
    assert str(parsed.ref) == "shared"
    assert parsed.target_name == "shared"
    assert parsed.target_keys == ()


@pytest.mark.parametrize("field", ["credentialsSecretRef", "namespaceSelector"])
def test_parse_names_a_missing_field(field: str) -> None:
    obj = resource()
    del obj["spec"][field]
    with pytest.raises(ResourceInvalid, match=f"spec.{field} is required; .*{KIND.plural}"):
        parse_cluster_resource(obj, "operators")


def test_models_have_the_fields_and_defaults_of_the_crd() -> None:
    assert find_differences(PROPERTIES["spec"], ClusterSpec) == []


def test_models_have_the_names_and_enums_of_the_crd() -> None:
    assert (SCHEMA["group"], CRD_VERSION["name"]) == (GROUP, VERSION)
    assert (SCHEMA["names"]["plural"], SCHEMA["names"]["kind"]) == (KIND.plural, KIND.name)
    assert (SCHEMA["scope"] == "Namespaced") is KIND.namespaced
    selector = PROPERTIES["spec"]["properties"]["namespaceSelector"]["properties"]
    operators = selector["matchExpressions"]["items"]["properties"]["operator"]["enum"]
    assert operators == list(Operator)


def test_crd_shares_schemas_with_the_namespaced_kind() -> None:
    (other,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    theirs = other["schema"]["openAPIV3Schema"]["properties"]
    for field in ("refreshBefore", "suspend"):
        ours, same = (each["spec"]["properties"][field] for each in (PROPERTIES, theirs))
        assert without_texts(ours) == without_texts(same)
    ours, same = (
        each["spec"]["properties"]["target"]["properties"]["template"]
        for each in (PROPERTIES, theirs)
    )
    assert without_texts(ours) == without_texts(same)
    assert PROPERTIES["status"]["default"] == theirs["status"]["default"]


def test_crd_explains_every_field() -> None:
    def check(schema: dict[str, Any], path: str) -> None:
        assert all(rule["message"] for rule in schema.get("x-kubernetes-validations", [])), path
        for name, inner in schema.get("properties", {}).items():
            assert "description" in inner or (path == "" and name == "metadata"), f"{path}.{name}"
            check(inner, f"{path}.{name}")
        if "items" in schema:
            check(schema["items"], f"{path}[]")

    check(CRD_VERSION["schema"]["openAPIV3Schema"], "")


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        pytest.param({}, {}, True, id="empty selects all"),
        pytest.param({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True, id="label"),
        pytest.param({"matchLabels": {"a": "1"}}, {"a": "2"}, False, id="other value"),
        pytest.param({"matchLabels": {"a": "1", "b": "2"}}, {"a": "1"}, False, id="one of two"),
        *(
            pytest.param(
                {"matchExpressions": [{"key": "a", "operator": operator, "values": values}]},
                labels,
                matches,
                id=f"{operator} {labels}",
            )
            for operator, values, labels, matches in (
                ("In", ["1", "2"], {"a": "2"}, True),
                ("In", ["1", "2"], {"a": "3"}, False),
                ("In", ["1", "2"], {}, False),
                ("NotIn", ["1"], {"a": "2"}, True),
                ("NotIn", ["1"], {"a": "1"}, False),
                ("NotIn", ["1"], {}, True),
                ("Exists", [], {"a": ""}, True),
                ("Exists", [], {"b": "1"}, False),
                ("DoesNotExist", [], {"b": "1"}, True),
                ("DoesNotExist", [], {"a": "1"}, False),
            )
        ),
        pytest.param(
            {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]},
            {"a": "1"},
            False,
            id="labels and expressions",
        ),
    ],
)
def test_selector_matches_as_kubernetes_defines_it(
    selector: dict[str, Any], labels: dict[str, str], matches: bool
) -> None:
    assert SELECTOR.validate_python(selector).matches(labels) is matches


@given(st.dictionaries(st.text(max_size=3), st.text(max_size=3)))
def test_selector_of_all_labels_of_an_object_matches_it(labels: dict[str, str]) -> None:
    assert SELECTOR.validate_python({"matchLabels": labels}).matches(labels)


def test_resource_is_immutable() -> None:
    parsed = parse_cluster_resource(resource(), "operators")
    with pytest.raises(dataclasses.FrozenInstanceError):
        parsed.spec.suspend = True  # type: ignore[misc]


def without_texts(schema: Any) -> Any:
    """Return a schema without the descriptions and messages."""
    if isinstance(schema, dict):
        return {
            key: without_texts(value)
            for key, value in schema.items()
            if key not in ("description", "message")
        }
    return [without_texts(each) for each in schema] if isinstance(schema, list) else schema
