"""The values are documented, their schema is closed, and what it refuses it refuses clearly."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.chart import CHART, ROWS, SCHEMA, VALUES, template
from tests.support.chart_readme import README, rendered

DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))

# Known for the sake of charts that depend on this one, and used by Helm alone.
FOR_HELM = {"enabled", "global"}
# Types of Kubernetes that are a value as a whole; their fields are not values of ours.
WHOLE = {"podSecurityContext", "securityContext", "affinity"}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: dict[str, Any] = SCHEMA["definitions"][reference.removeprefix("#/definitions/")]
    return found


def documented(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the path of each value that the schema knows."""
    for name, raw in schema["properties"].items():
        here, below = f"{path}.{name}".lstrip("."), resolved(raw)
        if "properties" in below and here not in WHOLE:
            yield from documented(below, here)
        else:
            yield here


def defaults(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the path of each value that has a default."""
    for name, value in values.items():
        here = f"{path}.{name}".lstrip(".")
        below = resolved(schema.get("properties", {}).get(name, {}))
        if isinstance(value, dict) and "properties" in below and here not in WHOLE:
            yield from defaults(value, below, here)
        else:
            yield here


def objects_in(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every part of the schema that is about an object."""
    if isinstance(schema, list):
        for part in schema:
            yield from objects_in(part, path)
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for name, part in schema.items():
            yield from objects_in(part, f"{path}/{name}")


def test_values_and_schema_know_the_same() -> None:
    assert set(documented(SCHEMA)) - FOR_HELM == set(defaults(DEFAULTS, SCHEMA))


def test_the_readme_is_what_helm_docs_makes_of_the_values() -> None:
    assert README.read_text("utf-8") == rendered(), "make docs"


def test_the_readme_explains_every_value() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| .+? \| (.*) \|$", README.read_text("utf-8"), re.MULTILINE)

    assert [name for name, text in rows if not text.strip()] == []
    # Where requests and limits are maps with names of the user's, the table tells the default ones.
    names = {re.sub(r"^(resources\.\w+)\.\w+$", r"\1", name) for name, _ in rows}
    names = {re.sub(r"(labels|nodeSelector)\..*$", r"\1", name) for name in names}
    assert names == set(defaults(DEFAULTS, SCHEMA))


def test_every_level_is_closed() -> None:
    open_ones = {
        path for path, part in objects_in(SCHEMA) if part.get("additionalProperties") is not False
    }
    # What Helm sets, names that are the user's, and types that grow with each Kubernetes.
    assert open_ones == {
        "/properties/global",
        "/definitions/kubernetes",
        "/definitions/quantities",
        "/definitions/stringMap",
    }


def test_every_value_is_set_in_some_row() -> None:
    rows = [yaml.safe_load((VALUES / f"{name}.yaml").read_text("utf-8")) for name in ROWS]
    covered = {path for values in rows for path in defaults(values, SCHEMA)}

    assert set(documented(SCHEMA)) - FOR_HELM - covered == set()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        pytest.param("watchNamespace=a", "additional properties 'watchNamespace'", id="unknown"),
        pytest.param("image.tags=1", "'/image': additional properties 'tags'", id="in an image"),
        pytest.param(
            "tokenEndpoint.caBundle.path=ca",
            "'/tokenEndpoint/caBundle': additional properties 'path'",
            id="in a bundle",
        ),
        pytest.param(
            "metrics.serviceMonitor.intervall=1m",
            "'/metrics/serviceMonitor': additional properties 'intervall'",
            id="in a monitor",
        ),
        pytest.param(
            "resources.request.cpu=1",
            "'/resources': additional properties 'request'",
            id="in needs",
        ),
        pytest.param(
            "tolerations[0].keys=a",
            "'/tolerations/0': additional properties 'keys'",
            id="in a toleration",
        ),
        pytest.param(
            "tokenEndpoint.url=http://login.example",
            "'/tokenEndpoint/url': 'http://login.example' does not match pattern '^https://'",
            id="no TLS",
        ),
        pytest.param("maxConcurrentExchanges=0", "minimum: got 0, want 1", id="no exchange"),
        pytest.param("log.level=loud", "must be one of 'debug', 'info'", id="a log level"),
        pytest.param("replicas=two", "'/replicas': got string, want integer", id="a word"),
        pytest.param(
            "podLabels.on=true", "'/podLabels/on': got boolean, want string", id="a label"
        ),
        pytest.param("image.digest=latest", "'/image/digest': 'latest'", id="no digest"),
        pytest.param("watchNamespaces={Team}", "'/watchNamespaces/0': 'Team'", id="no namespace"),
        pytest.param(
            "metrics.prometheusRule.disabledAlerts={Typo}",
            "must be one of 'PineconeTokenExpired'",
            id="no such alert",
        ),
    ],
)
def test_the_schema_refuses(option: str, said: str) -> None:
    answer = template("--set", option)

    assert answer.returncode != 0
    assert said in answer.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(
            "leaderElection.enabled=false",
            "replicas is 2, but leaderElection.enabled is false",
            id="two replicas that do not agree",
        ),
        pytest.param(
            "tokenEndpoint.caBundle.configMapName=a,tokenEndpoint.caBundle.secretName=b",
            "names both a ConfigMap and a Secret",
            id="two sources of certificates",
        ),
        pytest.param(
            "metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true",
            "would scrape each pod twice",
            id="two monitors",
        ),
        pytest.param(
            "metrics.serviceMonitor.enabled=true,metrics.service.enabled=false",
            "metrics.serviceMonitor needs the Service",
            id="a monitor of no Service",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_with_what_to_do(options: str, said: str) -> None:
    answer = template("--set", options)

    assert answer.returncode != 0
    assert said in answer.stderr


def switches(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, bool]]:
    """Yield each value that is on or off, and its default."""
    for name, value in values.items():
        here = f"{path}.{name}".lstrip(".")
        if isinstance(value, dict):
            yield from switches(value, here)
        elif isinstance(value, bool):
            yield here, value


@pytest.mark.parametrize(("name", "default"), list(switches(DEFAULTS)))
def test_each_switch_can_be_turned_the_other_way(name: str, default: bool) -> None:
    # Without leader election there can be one replica only.
    answer = template("--set", f"replicas=1,{name}={str(not default).lower()}")

    assert answer.returncode == 0, answer.stderr
    assert [found for found in yaml.safe_load_all(answer.stdout) if found]


@pytest.mark.parametrize("options", ["enabled=true", "global.imageRegistry=registry.example"])
def test_a_chart_may_depend_on_this_one(options: str) -> None:
    assert template("--set", options).returncode == 0
