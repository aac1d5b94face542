"""Argo CD's health check and actions, run on real resources by a Lua interpreter."""

from typing import Any

import pytest
import yaml

from tests.support.api import Kube, eventually, token_path
from tests.support.argo_cd import PATCH, rendered
from tests.support.argo_cd_lua import run
from tests.support.documented import GROUP, KIND
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

DATA: dict[str, str] = yaml.safe_load(PATCH.read_text("utf-8"))["data"]
HEALTH = DATA[f"resource.customizations.health.{GROUP}_{KIND}"]
ACTIONS: dict[str, Any] = yaml.safe_load(DATA[f"resource.customizations.actions.{GROUP}_{KIND}"])


class Resource:
    """A resource in the cluster, as Argo CD sees it."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace

    def read(self) -> dict[str, Any]:
        found = self.kube.token(self.namespace)
        assert found is not None
        return found

    @property
    def health(self) -> str:
        return str(run(HEALTH, self.read())["status"])

    @property
    def enabled_actions(self) -> set[str]:
        found = run(ACTIONS["discovery.lua"], self.read())
        return {name for name, action in found.items() if not action["disabled"]}

    def act(self, name: str) -> None:
        """Run an action, and write its result as Argo CD does."""
        (script,) = [one["action.lua"] for one in ACTIONS["definitions"] if one["name"] == name]
        before = self.read()
        after = run(script, before)
        # An empty table may be a list as well; nothing that the actions change is one.
        patch = {
            "metadata": {"annotations": after["metadata"].get("annotations") or {}},
            "spec": after["spec"],
        }
        self.kube.patch(token_path(self.namespace, "search"), patch)


@pytest.fixture
def resource(kube: Kube, namespace: str) -> Resource:
    return Resource(kube, namespace)


def test_patch_of_argo_cd_is_up_to_date() -> None:
    assert PATCH.read_text("utf-8") == rendered(), "run: make docs"


def test_health_is_progressing_and_then_healthy(
    resource: Resource, start_operator: StartOperator
) -> None:
    resource.kube.create_credentials(resource.namespace)
    resource.kube.create_token(resource.namespace)
    assert resource.health == "Progressing"

    start_operator()

    eventually(lambda: resource.health == "Healthy", "the resource is healthy")


def test_health_is_degraded_when_credentials_are_rejected(
    resource: Resource, endpoint: TokenEndpoint, start_operator: StartOperator
) -> None:
    endpoint.mode = "401"
    resource.kube.create_credentials(resource.namespace)
    resource.kube.create_token(resource.namespace)

    start_operator()

    eventually(lambda: resource.health == "Degraded", "the resource is degraded")
    assert "rejected" in run(HEALTH, resource.read())["message"]


def test_health_is_progressing_when_the_credentials_are_missing(
    resource: Resource, start_operator: StartOperator
) -> None:
    resource.kube.create_token(resource.namespace)
    start_operator()

    resource.kube.until(resource.namespace, "Refreshed", "CredentialsNotFound")

    assert resource.health == "Progressing"


def test_health_is_progressing_until_a_change_is_observed(
    resource: Resource, start_operator: StartOperator
) -> None:
    resource.kube.create_credentials(resource.namespace)
    resource.kube.create_token(resource.namespace)
    operator = start_operator()
    eventually(lambda: resource.health == "Healthy", "the resource is healthy")
    operator.stop()

    resource.kube.patch_token(resource.namespace, "search", {"spec": {"refreshBefore": "5m"}})

    assert resource.health == "Progressing"


def test_refresh_action_fetches_another_token(
    resource: Resource, endpoint: TokenEndpoint, start_operator: StartOperator
) -> None:
    resource.kube.create_credentials(resource.namespace)
    resource.kube.create_token(resource.namespace)
    start_operator()
    eventually(lambda: resource.health == "Healthy", "the resource is healthy")

    resource.act("refresh")

    eventually(lambda: endpoint.exchanges == 2, "another token is fetched")
    requested = resource.read()["metadata"]["annotations"][f"{GROUP}/refresh-requested-at"]
    eventually(
        lambda: resource.read()["status"].get("lastHandledRefreshRequest") == requested,
        "the request is handled",
    )


def test_suspend_and_resume_actions_exclude_each_other(
    resource: Resource, start_operator: StartOperator
) -> None:
    resource.kube.create_credentials(resource.namespace)
    resource.kube.create_token(resource.namespace)
    start_operator()
    eventually(lambda: resource.health == "Healthy", "the resource is healthy")
    assert resource.enabled_actions == {"refresh", "suspend"}

    resource.act("suspend")
    eventually(lambda: resource.health == "Suspended", "the resource is suspended")
    assert resource.enabled_actions == {"resume"}

    resource.act("resume")
    eventually(lambda: resource.health == "Healthy", "the resource is healthy again")
