"""A control plane with a scheduler that a node and its pods can reach."""

import secrets
from pathlib import Path

from tests.support.cluster import Cluster
from tests.support.kubeconfig import write_kubeconfig

NODE = "node"
NODE_ADDRESS = "192.0.2.10"  # from the documentation range; a kubelet refuses loopback
SERVICE_ADDRESS = "10.0.0.1"  # of the Service `kubernetes`, the first in its range


class NodeCluster(Cluster):
    """The tests' cluster, listening on the addresses that pods use.

    There is no kube-proxy, so the API server itself has the address of its Service. The node has
    only the permissions that the Node authorizer grants.

    Attributes:
        node_kubeconfig: the kubelet's.
    """

    PROGRAMS = (*Cluster.PROGRAMS, "kube-scheduler")
    CONTROLLERS = "kube-controller-manager"  # Deployments and what comes with them

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, controller_manager=True)
        self._port = 443  # the Service's port; there is no other server in the sandbox
        self.url = f"https://{NODE_ADDRESS}"
        self.node_kubeconfig = self._directory / "node.kubeconfig"
        self._node_token = secrets.token_hex(16)

    def start(self) -> None:
        super().start()
        user = {"token": self._node_token}
        write_kubeconfig(self.node_kubeconfig, self.url, self.ca_file, user)
        flags = {"kubeconfig": str(self.kubeconfig), "leader-elect": "false", "secure-port": "0"}
        self._spawn("kube-scheduler", flags)

    def _apiserver_flags(self) -> dict[str, str]:
        return super()._apiserver_flags() | {
            "bind-address": "0.0.0.0",
            "advertise-address": NODE_ADDRESS,
            "endpoint-reconciler-type": "lease",
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "kubelet-preferred-address-types": "InternalIP",
        }

    def _server_names(self) -> tuple[str, ...]:
        return (*super()._server_names(), NODE_ADDRESS, SERVICE_ADDRESS)

    def _controller_flags(self) -> dict[str, str]:
        return super()._controller_flags() | {
            "leader-elect": "false",
            "secure-port": "0",
            "root-ca-file": str(self.ca_file),
            "service-account-private-key-file": str(self._service_account_key),
        }

    def _write_files(self) -> None:
        super()._write_files()
        with (self._directory / "tokens.csv").open("a", encoding="utf-8") as tokens:
            tokens.write(f'{self._node_token},system:node:{NODE},{NODE},"system:nodes"\n')
