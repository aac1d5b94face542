"""The plugin as kubectl runs it: found by its name, with completion; and exec credentials."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import yaml

from tests.support.api import Kube
from tests.support.cluster import Cluster
from tests.support.control_plane import binaries
from tests.support.kubectl_plugin import COMPLETE, PLUGIN, Plugin

NAME = "search"


def kubectl(cluster: Cluster, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    programs = home / "bin"
    programs.mkdir(exist_ok=True)
    for path in (PLUGIN, COMPLETE, *binaries("kubectl").values()):
        if not (programs / path.name).exists():
            (programs / path.name).symlink_to(path)
    environ = {
        "PATH": f"{programs}{os.pathsep}/usr/bin:/bin",
        "HOME": str(home),
        "KUBECONFIG": str(cluster.kubeconfig),
    }
    return subprocess.run(
        [programs / "kubectl", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_kubectl_finds_and_runs_the_plugin(
    cluster: Cluster, kube: Kube, namespace: str, tmp_path: Path
) -> None:
    kube.create_token(namespace, NAME)

    listed = kubectl(cluster, tmp_path, "plugin", "list")
    done = kubectl(cluster, tmp_path, "pinecone-token", "status", "-n", namespace)

    assert "kubectl-pinecone_token" in listed.stdout
    assert (done.returncode, done.stderr) == (1, "")
    assert NAME in done.stdout


def test_kubectl_completes_commands_and_names(
    cluster: Cluster, kube: Kube, namespace: str, tmp_path: Path
) -> None:
    kube.create_token(namespace, NAME)

    commands = kubectl(cluster, tmp_path, "__complete", "pinecone-token", "re")
    names = kubectl(cluster, tmp_path, "__complete", "pinecone-token", "print", "-n", namespace, "")

    assert commands.stdout.splitlines()[:2] == ["refresh", "resume"]
    assert names.stdout.splitlines()[0] == NAME


def test_completion_offers_namespaces_contexts_and_flags(namespace: str, plugin: Plugin) -> None:
    assert namespace in plugin.complete("status", "-n", "")
    assert plugin.complete("status", "--context=") == ["--context=tests", ":4"]
    assert plugin.complete("status", "-o", "") == ["json", "yaml", ":4"]
    assert "--watch" in plugin.complete("status", "--")
    assert "--watch" not in plugin.complete("refresh", "--")


def test_completion_is_empty_without_a_cluster(tmp_path: Path) -> None:
    assert Plugin(tmp_path / "none", tmp_path, "default").complete("print", "") == [":4"]


def test_plugin_authenticates_with_an_exec_plugin(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    reply = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": cluster.token},
    }
    script = tmp_path / "login"
    script.write_text(f"#!{sys.executable}\nprint({json.dumps(reply)!r})\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    config = yaml.safe_load(cluster.kubeconfig.read_text("utf-8"))
    plugin = {"apiVersion": reply["apiVersion"], "command": "./login", "interactiveMode": "Never"}
    config["users"][0]["user"] = {"exec": plugin}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config), "utf-8")

    done = Plugin(path, tmp_path, namespace).run("status")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"No resources found in namespace {namespace}.\n"
