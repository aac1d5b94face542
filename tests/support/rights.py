"""The operator's rights in a test cluster, as the chart grants them."""

from collections.abc import Sequence
from pathlib import Path

from tests.support.chart import install_rights, service_account_token
from tests.support.cluster import Cluster
from tests.support.kubeconfig import write_kubeconfig

ACCOUNT = "operator"
"""Of the ServiceAccount, its Roles and its RoleBindings."""


def chart_kubeconfig(
    cluster: Cluster,
    home: str,
    namespaces: Sequence[str],
    directory: Path,
    options: Sequence[str] = (),
) -> Path:
    """Return the kubeconfig of a ServiceAccount that has the chart's rights and no others.

    Args:
        cluster: the cluster.
        home: the release namespace.
        namespaces: the namespaces to serve; each has a Role and a RoleBinding named `ACCOUNT`.
        directory: where the kubeconfig is written.
        options: further options of `helm template`.
    """
    watched = ["--set", f"watchNamespaces={{{','.join(namespaces)}}}"]
    install_rights(cluster, home, ACCOUNT, [*watched, *options])
    user = {"token": service_account_token(cluster, home, ACCOUNT)}
    return write_kubeconfig(directory / "kubeconfig", cluster.url, cluster.ca_file, user)
