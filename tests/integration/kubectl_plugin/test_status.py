"""`status` against the real API server and operator."""

import json
import re
import signal
import subprocess

import yaml

from tests.support.api import Kube
from tests.support.cluster import Cluster
from tests.support.kubectl_plugin import PLUGIN, Plugin, container, create_ready_token, run_pod
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

NAME = "search"


def test_status_shows_a_ready_resource_in_a_table(
    kube: Kube, namespace: str, start_operator: StartOperator, plugin: Plugin
) -> None:
    start_operator()
    create_ready_token(kube, namespace)

    done = plugin.run("status")

    assert (done.returncode, done.stderr) == (0, "")
    header, row = done.stdout.splitlines()
    assert re.split(r"\s{2,}", header) == [
        "NAMESPACE",
        "NAME",
        "READY",
        "REFRESHED",
        "EXPIRES IN",
        "NEXT REFRESH",
        "TARGET",
        "MESSAGE",
    ]
    cells = re.split(r"\s{2,}", row)
    assert cells[:4] == [namespace, NAME, "True", "True"]
    assert re.fullmatch(r"(\d+m)?(\d+s)?", cells[4])
    assert cells[6] == NAME
    assert "\x1b" not in done.stdout


def test_status_exits_1_when_a_resource_is_not_ready(
    kube: Kube, namespace: str, start_operator: StartOperator, plugin: Plugin
) -> None:
    start_operator()
    kube.create_token(namespace, NAME)
    kube.until(namespace, "Ready", "CredentialsNotFound")

    done = plugin.run("status")

    assert done.returncode == 1
    assert "CredentialsNotFound: " in done.stdout
    assert plugin.run("status", NAME).returncode == 1


def test_status_exits_1_when_no_operator_has_seen_it(
    kube: Kube, namespace: str, plugin: Plugin
) -> None:
    kube.create_token(namespace, NAME)

    done = plugin.run("status")

    assert done.returncode == 1
    assert "no operator has set a status yet" in done.stdout


def test_status_of_one_resource_has_titled_sections(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    plugin: Plugin,
) -> None:
    start_operator()
    create_ready_token(kube, namespace)
    volume = {"name": "token", "secret": {"secretName": NAME}}
    mount = {"name": "token", "mountPath": "/var/run/pinecone"}
    spec = {"volumes": [volume], "containers": [container(volumeMounts=[mount])]}
    run_pod(kube, namespace, "web", "2026-11-25T12:00:00Z", spec)

    done = plugin.run("status", NAME)

    assert (done.returncode, done.stderr) == (0, "")
    titles = [line for line in done.stdout.splitlines() if line.isupper() and "  " not in line]
    assert titles == [
        "CREDENTIALS",
        "TOKEN",
        "TARGET",
        "CONDITIONS",
        "EVENTS",
        "CONSUMERS",
        "WHAT TO DO",
    ]
    assert re.search(r"Pod/web +web +app +directory +/var/run/pinecone", done.stdout)
    assert "Nothing: no problems found." in done.stdout
    assert not any(token in done.stdout for token in endpoint.tokens)


def test_status_prints_objects_as_json_and_yaml(
    kube: Kube, namespace: str, start_operator: StartOperator, plugin: Plugin
) -> None:
    start_operator()
    create_ready_token(kube, namespace)

    found = json.loads(plugin.run("status", "-o", "json").stdout)
    one = yaml.safe_load(plugin.run("status", NAME, "-o", "yaml").stdout)

    assert (found["kind"], len(found["items"])) == ("List", 1)
    assert found["items"][0]["metadata"]["name"] == one["metadata"]["name"] == NAME
    assert one["kind"] == "PineconeAccessToken"
    assert "managedFields" not in one["metadata"]


def test_status_of_all_namespaces_works_without_the_cluster_kind(
    kube: Kube, namespace: str, plugin: Plugin
) -> None:
    kube.create_token(namespace, NAME)

    done = plugin.run_as_is("status", "-A")

    assert done.returncode == 1
    assert re.search(rf"^{namespace} +{NAME} +Unknown", done.stdout, re.MULTILINE)


def test_status_of_an_empty_namespace_says_so(namespace: str, plugin: Plugin) -> None:
    done = plugin.run("status")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"No resources found in namespace {namespace}.\n"


def test_status_of_an_unknown_resource_fails_in_one_line(plugin: Plugin) -> None:
    done = plugin.run("status", "nothing")

    assert done.returncode == 3
    assert done.stderr.startswith("kubectl pinecone-token: pineconeaccesstokens")
    assert done.stderr.endswith('"nothing" not found (404 NotFound)\n')


def test_watch_prints_a_change_until_it_is_interrupted(
    cluster: Cluster, kube: Kube, namespace: str
) -> None:
    kube.create_token(namespace, NAME)
    command = [str(PLUGIN), "status", "--watch", "-n", namespace]
    with subprocess.Popen(
        [*command, f"--kubeconfig={cluster.kubeconfig}"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(2)]
        kube.patch_token(namespace, NAME, {"spec": {"suspend": True}})
        then = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()

    assert "suspended" not in "".join(first)
    assert "suspended" in then[1]
    assert (process.returncode, rest) == (130, "")
