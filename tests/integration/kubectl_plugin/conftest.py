"""The plugin as a process, with the kubeconfig of a user who may do everything."""

from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.kubectl_plugin import Plugin


@pytest.fixture
def plugin(cluster: Cluster, namespace: str, tmp_path: Path) -> Plugin:
    return Plugin(cluster.kubeconfig, tmp_path, namespace, forked=True)
