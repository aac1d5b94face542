"""`check`, as `helm test` runs it: detects a broken installation and cleans up."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pinecone_token_operator.cli.main import main
from tests.support.api import Kube, secret_path, token_path
from tests.support.audit import AuditLog
from tests.support.chart import objects, service_account_token
from tests.support.cluster import Cluster
from tests.support.forked_process import run_forked
from tests.support.kubeconfig import write_kubeconfig
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs("helm")

NAME = "operator-test"


class Check:
    """The pod of `helm test`, run as a process with its arguments and ServiceAccount."""

    def __init__(self, cluster: Cluster, namespace: str, directory: Path) -> None:
        found = [each for each in rendered(namespace) if NAME in each["metadata"]["name"]]
        pods = [each for each in found if each["kind"] == "Pod"]
        self.rights = {
            (resource, verb)
            for each in found
            for rule in each.get("rules", ())
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        others = [each for each in found if each["kind"] != "Pod"]
        cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(others))
        kubeconfig = account_kubeconfig(cluster, namespace, NAME, directory)
        arguments = pods[0]["spec"]["containers"][0]["args"]
        self._arguments = [*arguments, f"--kubeconfig={kubeconfig}"]

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        answer = run_forked(main, [*self._arguments, *options], os.environ)
        assert answer.stderr == ""
        return answer


def account_kubeconfig(cluster: Cluster, namespace: str, account: str, directory: Path) -> Path:
    user = {"token": service_account_token(cluster, namespace, account)}
    path = directory / "account-kubeconfig"
    return write_kubeconfig(path, cluster.url, cluster.ca_file, user)


@pytest.fixture
def check(cluster: Cluster, namespace: str, tmp_path: Path) -> Check:
    return Check(cluster, namespace, tmp_path)


def rendered(namespace: str) -> list[dict[str, Any]]:
    options = ("--namespace", namespace, "--set", "fullnameOverride=operator")
    return objects(*options)


def left_behind(kube: Kube, namespace: str) -> list[str]:
    paths = token_path(namespace, NAME), secret_path(namespace, f"{NAME}-credentials")
    return [path for path in paths if kube.get(path)]


def test_check_passes_and_uses_all_of_its_permissions(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    check: Check,
) -> None:
    endpoint.credentials = {}
    start_operator()
    audit = AuditLog(cluster.audit_log)
    mark = audit.mark()

    answer = check.run()

    assert answer.returncode == 0, answer.stdout
    first, second, last = answer.stdout.splitlines()
    secret = f"Secret {namespace}/{NAME}-credentials: "
    assert first.startswith(f"Ready is False, CredentialsInvalid: {secret}")
    assert second.startswith("Refreshed is False, Rejected: the token endpoint rejected the cred")
    assert last == "passed"
    assert left_behind(kube, namespace) == []
    used = {
        (one.resource, one.verb)
        for one in audit.since(mark, namespace=namespace)
        if one.name.startswith(NAME) or one.verb == "create"
    }
    assert check.rights <= used


def test_check_cleans_up_after_an_interrupted_check(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    check: Check,
) -> None:
    endpoint.credentials = {}
    kube.create_secret(namespace, f"{NAME}-credentials", {"client_id": "left"})
    kube.create_token(namespace, NAME)
    start_operator()

    assert check.run().returncode == 0
    assert left_behind(kube, namespace) == []


def test_check_fails_when_no_operator_watches_the_namespace(
    kube: Kube, namespace: str, check: Check
) -> None:
    answer = check.run("--timeout=2")

    assert answer.returncode == 1
    assert "the operator has not set a status on the resource" in answer.stdout
    assert f"that it watches the namespace {namespace}" in answer.stdout
    assert left_behind(kube, namespace) == []


def test_check_reports_an_unreachable_token_endpoint(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    check: Check,
) -> None:
    endpoint.mode = "down"
    start_operator()

    answer = check.run("--timeout=3")

    assert answer.returncode == 1
    assert "it is False, Unavailable: " in answer.stdout
    assert left_behind(kube, namespace) == []
    # The operator itself works, which the check can show without the endpoint.
    assert check.run("--no-ask-token-endpoint").returncode == 0


def test_check_reports_an_endpoint_that_accepts_anything(
    kube: Kube, namespace: str, start_operator: StartOperator, check: Check
) -> None:
    start_operator()

    answer = check.run("--timeout=3")

    assert answer.returncode == 1
    assert "it is True, Succeeded: " in answer.stdout
    # The controller manager deletes the target with its owner.
    assert left_behind(kube, namespace) == []


def test_check_fails_without_permissions(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    cluster.kubectl("create", "serviceaccount", "nobody", "--namespace", namespace)
    kubeconfig = account_kubeconfig(cluster, namespace, "nobody", tmp_path)
    command = [sys.executable, "-m", "pinecone_token_operator", "check", "--name=x"]
    command += [f"--namespace={namespace}", f"--kubeconfig={kubeconfig}"]

    answer = subprocess.run(command, capture_output=True, text=True, check=False)

    assert answer.returncode == 1
    assert answer.stdout.startswith("FAILED: 403 Forbidden: ")
