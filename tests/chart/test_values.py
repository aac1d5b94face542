"""Values are documented, the schema is closed, and its errors are clear."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.chart import CHART, ROWS, SCHEMA, VALUES, parse, template
from tests.support.chart_readme import README, CommentError, Value, rendered, values

pytestmark = pytest.mark.programs("helm")

DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))

# For charts that depend on this one; only Helm uses them.
FOR_HELM = {"enabled", "global"}
# Kubernetes types that are one value as a whole.
WHOLE = {"podSecurityContext", "securityContext", "affinity", "updateStrategy"}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: dict[str, Any] = SCHEMA["definitions"][reference.removeprefix("#/definitions/")]
    return found


def documented(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the path of each value in the schema."""
    for name, raw in schema["properties"].items():
        here, below = f"{path}.{name}".lstrip("."), resolved(raw)
        if "properties" in below and here not in WHOLE:
            yield from documented(below, here)
        else:
            yield here


def defaults(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the path of each value with a default."""
    for name, value in values.items():
        here = f"{path}.{name}".lstrip(".")
        below = resolved(schema.get("properties", {}).get(name, {}))
        if isinstance(value, dict) and "properties" in below and here not in WHOLE:
            yield from defaults(value, below, here)
        else:
            yield here


def objects_in(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object schema with its path."""
    if isinstance(schema, list):
        for part in schema:
            yield from objects_in(part, path)
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for name, part in schema.items():
            yield from objects_in(part, f"{path}/{name}")


def test_schema_and_defaults_have_the_same_values() -> None:
    assert set(documented(SCHEMA)) - FOR_HELM == set(defaults(DEFAULTS, SCHEMA))


def test_chart_readme_is_up_to_date() -> None:
    assert README.read_text("utf-8") == rendered(), "run: make docs"


def test_chart_readme_names_purpose_and_kubernetes_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    oldest = chart["kubeVersion"].removeprefix(">=").removesuffix("-0").strip()

    text = README.read_text("utf-8")

    assert chart["description"] in text
    assert f"Kubernetes {oldest} or newer" in text


def test_comments_become_rows_of_the_chart_readme() -> None:
    text = """
# Not about a value.
image:
  # -- Name of the image,
  # with its registry.
  name: app
# -- Labels.
# @default -- none
labels: {}
"""

    assert values(text) == [
        Value("image.name", '`"app"`', "Name of the image, with its registry."),
        Value("labels", "none", "Labels."),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a:\n  # -- A.\n  b: 1\n  c: 2\n", "a.c has no description", id="a value"),
        pytest.param("# -- A.\n\na: 1\n", "a has no description", id="too far away"),
        pytest.param(
            "# -- A.\na:\n  # -- B.\n  b: 1\n", "line 3 describes no value", id="within a value"
        ),
    ],
)
def test_values_without_description_are_refused(text: str, message: str) -> None:
    with pytest.raises(CommentError, match=message):
        values(text)


def test_chart_readme_documents_every_value() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| .+? \| (.*) \|$", README.read_text("utf-8"), re.MULTILINE)

    assert [name for name, text in rows if not text.strip()] == []
    # For maps with arbitrary keys, the table lists those with a default.
    names = {re.sub(r"\b(resources\.\w+)\.\w+$", r"\1", name) for name, _ in rows}
    names = {re.sub(r"(labels|annotations|nodeSelector)\..*$", r"\1", name) for name in names}
    assert names == set(defaults(DEFAULTS, SCHEMA))


def test_schema_rejects_unknown_values_at_every_level() -> None:
    extensible = {
        path for path, part in objects_in(SCHEMA) if part.get("additionalProperties") is not False
    }
    # Set by Helm, maps with arbitrary keys, and Kubernetes types.
    assert extensible == {
        "/properties/global",
        "/definitions/kubernetes",
        "/definitions/quantities",
        "/definitions/stringMap",
    }


def test_every_value_is_set_in_some_snapshot() -> None:
    rows = [yaml.safe_load((VALUES / f"{name}.yaml").read_text("utf-8")) for name in ROWS]
    covered = {path for values in rows for path in defaults(values, SCHEMA)}

    assert set(documented(SCHEMA)) - FOR_HELM - covered == set()


def rejection(options: str) -> str:
    """Return what helm prints when it rejects values."""
    answer = template("--set", options)
    assert answer.returncode != 0
    return answer.stderr


@pytest.mark.parametrize(
    ("option", "message"),
    [
        pytest.param(
            "watchNamespace=a", "additional properties 'watchNamespace'", id="unknown value"
        ),
        pytest.param(
            "image.tags=1", "'/image': additional properties 'tags'", id="unknown in image"
        ),
        pytest.param(
            "tokenEndpoint.caBundle.path=ca",
            "'/tokenEndpoint/caBundle': additional properties 'path'",
            id="unknown in caBundle",
        ),
        pytest.param(
            "metrics.serviceMonitor.intervall=1m",
            "'/metrics/serviceMonitor': additional properties 'intervall'",
            id="unknown in serviceMonitor",
        ),
        pytest.param(
            "resources.request.cpu=1",
            "'/resources': additional properties 'request'",
            id="unknown in resources",
        ),
        pytest.param(
            "tolerations[0].keys=a",
            "'/tolerations/0': additional properties 'keys'",
            id="unknown in a toleration",
        ),
        pytest.param(
            "tokenEndpoint.url=http://login.example",
            "'/tokenEndpoint/url': 'http://login.example' does not match pattern '^https://'",
            id="http URL",
        ),
        pytest.param("maxConcurrentExchanges=0", "minimum: got 0, want 1", id="zero exchanges"),
        pytest.param("log.level=loud", "must be one of 'debug', 'info'", id="unknown log level"),
        pytest.param(
            "replicas=two", "'/replicas': got string, want integer", id="string for an integer"
        ),
        pytest.param(
            "podLabels.on=true", "'/podLabels/on': got boolean, want string", id="boolean label"
        ),
        pytest.param("image.digest=latest", "'/image/digest': 'latest'", id="malformed digest"),
        pytest.param(
            "watchNamespaces={Team}", "'/watchNamespaces/0': 'Team'", id="malformed namespace"
        ),
        pytest.param(
            "metrics.prometheusRule.disabledAlerts={Typo}",
            "must be one of 'PineconeTokenExpired'",
            id="unknown alert",
        ),
    ],
)
def test_schema_rejects_value(option: str, message: str) -> None:
    assert message in rejection(option)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            "leaderElection.enabled=false",
            "replicas is 2, but leaderElection.enabled is false",
            id="two replicas without leader election",
        ),
        pytest.param(
            "tokenEndpoint.caBundle.configMapName=a,tokenEndpoint.caBundle.secretName=b",
            "set only one of them",
            id="two CA bundles",
        ),
        pytest.param(
            "metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true",
            "would scrape each pod twice",
            id="two monitors",
        ),
        pytest.param(
            "metrics.serviceMonitor.enabled=true,metrics.service.enabled=false",
            "metrics.serviceMonitor requires the Service",
            id="a ServiceMonitor without a Service",
        ),
    ],
)
def test_contradicting_values_are_rejected_with_advice(options: str, message: str) -> None:
    assert message in rejection(options)


def switches(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, bool]]:
    """Yield each boolean value and its default."""
    for name, value in values.items():
        here = f"{path}.{name}".lstrip(".")
        if isinstance(value, dict):
            yield from switches(value, here)
        elif isinstance(value, bool):
            yield here, value


@pytest.mark.parametrize(("name", "default"), list(switches(DEFAULTS)))
def test_every_boolean_can_be_flipped(name: str, default: bool) -> None:
    # Without leader election only one replica is allowed.
    answer = template("--set", f"replicas=1,{name}={str(not default).lower()}")

    assert answer.returncode == 0, answer.stderr
    assert parse(answer.stdout)


@pytest.mark.parametrize("options", ["enabled=true", "global.imageRegistry=registry.example"])
def test_chart_can_be_a_dependency(options: str) -> None:
    assert template("--set", options).returncode == 0
