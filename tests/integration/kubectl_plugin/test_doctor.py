"""`doctor` against the real API server: consumers, rights, webhooks, leaders."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.api import Kube
from tests.support.chart import install_rights, service_account_token
from tests.support.cluster import Cluster
from tests.support.kubeconfig import write_kubeconfig
from tests.support.kubectl_plugin import Plugin, container, create_ready_token, run_pod
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

NAME = "search"
EARLY = "2026-01-01T00:00:00Z"


def test_doctor_finds_nothing_wrong_with_a_mounted_directory(
    kube: Kube, namespace: str, start_operator: StartOperator, plugin: Plugin
) -> None:
    start_operator()
    create_ready_token(kube, namespace)
    volume = {"name": "token", "secret": {"secretName": NAME}}
    mount = {"name": "token", "mountPath": "/var/run/pinecone"}
    spec = {"volumes": [volume], "containers": [container(volumeMounts=[mount])]}
    run_pod(kube, namespace, "web", EARLY, spec)

    done = plugin.run("doctor")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("No problems found in 1 resource.\n")
    assert "age of mounted files: add --check-files" in done.stdout


def test_doctor_finds_consumers_that_never_see_a_new_token(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    plugin: Plugin,
) -> None:
    start_operator()
    create_ready_token(kube, namespace)
    volume = {"name": "token", "secret": {"secretName": NAME}}
    mount = {"name": "token", "mountPath": "/etc/token", "subPath": "access_token"}
    source = {"secretKeyRef": {"name": NAME, "key": "access_token"}}
    spec = {
        "volumes": [volume],
        "containers": [
            container("mounts", volumeMounts=[mount]),
            container("reads", env=[{"name": "TOKEN", "valueFrom": source}]),
        ],
    }
    run_pod(kube, namespace, "web", EARLY, spec)

    done = plugin.run("doctor", NAME)

    assert (done.returncode, done.stderr) == (1, "")
    assert f"ERROR    Pod {namespace}/web" in done.stdout
    assert "container mounts mounts the token by subPath at /etc/token" in done.stdout
    assert "container reads has the token in the environment variable TOKEN" in done.stdout
    assert "What to do: mount the Secret as a directory" in done.stdout
    assert done.stdout.endswith("2 errors, 0 warnings, 0 notices in 1 resource.\n")
    assert not any(token in done.stdout for token in endpoint.tokens)


def test_doctor_finds_a_workload_that_reloader_restarts(
    kube: Kube, namespace: str, start_operator: StartOperator, plugin: Plugin
) -> None:
    start_operator()
    annotations = {"reloader.stakater.com/ignore": "false"}
    kube.create_credentials(namespace)
    kube.create_token(
        namespace, NAME, target={"template": {"metadata": {"annotations": annotations}}}
    )
    kube.until(namespace, "Ready", "TokenValid")
    labels = {"app": "web"}
    volume = {"name": "token", "secret": {"secretName": NAME}}
    kube.create(
        f"/apis/apps/v1/namespaces/{namespace}/deployments",
        {
            "metadata": {"name": "web", "annotations": {"reloader.stakater.com/auto": "true"}},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "volumes": [volume],
                        "containers": [
                            container(volumeMounts=[{"name": "token", "mountPath": "/t"}])
                        ],
                    },
                },
            },
        },
    )

    done = plugin.run("doctor", NAME)

    assert done.returncode == 1
    assert f"WARNING  Deployment {namespace}/web" in done.stdout
    assert "Reloader restarts it at every refresh" in done.stdout


def test_doctor_says_what_the_user_may_not_read(
    cluster: Cluster, kube: Kube, namespace: str, tmp_path: Path
) -> None:
    kube.create_token(namespace, NAME)
    cluster.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    role = ["--verb=get,list", "--resource=pineconeaccesstokens"]
    cluster.kubectl("create", "role", "reader", *role, "-n", namespace)
    account = f"--serviceaccount={namespace}:reader"
    binding = ["create", "rolebinding", "reader", "--role=reader", account, "-n", namespace]
    cluster.kubectl(*binding)
    user = {"token": service_account_token(cluster, namespace, "reader")}
    path = write_kubeconfig(tmp_path / "kubeconfig", cluster.url, cluster.ca_file, user)

    done = Plugin(path, tmp_path, namespace, forked=True).run("doctor")

    assert done.returncode in (0, 1)
    assert "Not checked:" in done.stdout
    for what in (
        "the operator's Deployment",
        "admission webhooks",
        "clocks of nodes",
        f"target Secret {namespace}/{NAME}",
    ):
        assert f"  {what}: access denied\n" in done.stdout


@pytest.mark.programs("helm")
def test_doctor_finds_an_operator_without_pods_leader_or_rights(
    cluster: Cluster, kube: Kube, namespace: str, plugin: Plugin
) -> None:
    kube.create_token(namespace, NAME)
    arguments = ["run", "--leader-elect", "--leader-election-lease-name=operator"]
    labels = {
        "app.kubernetes.io/name": "pinecone-token-operator",
        "app.kubernetes.io/component": "operator",
    }
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    kube.create(
        deployments,
        {
            "metadata": {"name": "operator", "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "serviceAccountName": "operator",
                        "containers": [
                            container("operator", args=[*arguments, f"--namespace={namespace}"])
                        ],
                    },
                },
            },
        },
    )
    without = plugin.run("doctor").stdout
    watched = ["--set", f"watchNamespaces={{{namespace}}}"]
    install_rights(cluster, namespace, "operator", watched)
    with_rights = plugin.run("doctor").stdout
    kube.delete(f"{deployments}/operator")

    assert f"ERROR    Deployment {namespace}/operator" in without
    assert "the operator has no ready pod" in without
    assert "no leader: nobody holds Lease operator" in without
    lacks = f"its ServiceAccount operator lacks permissions in namespace {namespace}: "
    assert f"{lacks}get pineconeaccesstokens, " in without
    assert lacks not in with_rights


def test_doctor_finds_a_webhook_that_cannot_answer(
    kube: Kube, namespace: str, plugin: Plugin
) -> None:
    kube.create_token(namespace, NAME)
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    own = {"kubernetes.io/metadata.name": namespace}
    webhook = {
        "name": "gone.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"service": {"namespace": namespace, "name": "gone"}},
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": ["secrets"],
                "operations": ["CREATE"],
            }
        ],
        "namespaceSelector": {"matchLabels": own},
    }
    kube.create(path, {"metadata": {"name": namespace}, "webhooks": [webhook]})
    try:
        done = plugin.run("doctor")
    finally:
        kube.delete(f"{path}/{namespace}")

    assert done.returncode == 1
    assert "ERROR    Webhook gone.example.com" in done.stdout


def test_plugin_loads_no_heavy_library(cluster: Cluster) -> None:
    heavy = ("asyncio", "aiohttp", "httpx", "kopf", "kubernetes", "pydantic")
    program = (
        "import sys; from pinecone_token_operator.cli.kubectl_plugin import main;"
        f" main(['doctor', '-A', '--kubeconfig={cluster.kubeconfig}']);"
        f" print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.endswith("\n[]\n")
