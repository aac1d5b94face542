"""A node: containerd, a kubelet and their configuration."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.e2e.commands import CommandError, run
from tests.e2e.node_cluster import NODE, NODE_ADDRESS, NodeCluster
from tests.support.cluster import DIE_WITH_PARENT, ClusterError
from tests.support.control_plane import binaries
from tests.support.control_plane.pins import NODE_PROGRAMS

PAUSE = "localhost/pause:1"
_START_SECONDS = 60.0
_CONTAINERD = """
version = 3
root = "{directory}/containerd"
state = "/run/containerd"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{directory}/opt"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{programs}"]
conf_dir = "{directory}/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "{snapshotter}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"
"""
_NETWORK = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "pods",
            "isDefaultGateway": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "198.51.100.0/24"}]]},
        }
    ],
}


class NodeError(Exception):
    """The node did not start."""


class Node:
    """The only node of a cluster, in a sandbox.

    Args:
        cluster: the cluster.
        directory: for all its files.
        sync_frequency: how often the kubelet syncs a pod, as a duration; empty for its default.
    """

    def __init__(self, cluster: NodeCluster, directory: Path, sync_frequency: str) -> None:
        self._cluster = cluster
        self._directory = directory
        self._sync_frequency = sync_frequency
        self._programs = binaries(*(program.name for program in NODE_PROGRAMS))
        # The native snapshotter copies the image for each container but works on any file system.
        overlay = "\toverlay\n" in Path("/proc/filesystems").read_text("ascii")
        self._snapshotter = "overlayfs" if overlay else "native"
        self._kubelet: subprocess.Popen[bytes] | None = None

    def start(self, images: Mapping[str, Path]) -> None:
        """Start everything, load the images from archives by name, and wait for the node."""
        self._write_files()
        self._spawn("containerd", "--config", str(self._directory / "containerd.toml"))
        self._wait("containerd", lambda: self._ctr("version"))
        for name, archive in images.items():
            options = ("--snapshotter", self._snapshotter, "--base-name", name.rpartition(":")[0])
            self._ctr("images", "import", *options, str(archive))
        self.start_kubelet()
        ready = ("wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=1s")
        self._wait("kubelet", lambda: self._cluster.kubectl(*ready))

    def tag(self, image: str, other: str) -> None:
        """Give an image a second name."""
        self._ctr("images", "tag", image, other)

    def start_kubelet(self) -> None:
        self._kubelet = self._spawn(
            "kubelet",
            *("--config", str(self._directory / "kubelet.json")),
            *("--kubeconfig", str(self._cluster.node_kubeconfig)),
            *("--root-dir", str(self._directory / "kubelet")),
            *("--hostname-override", NODE, "--node-ip", NODE_ADDRESS),
        )

    def stop_kubelet(self) -> None:
        """Stop the kubelet; containers keep running."""
        assert self._kubelet is not None
        self._kubelet.send_signal(signal.SIGTERM)
        self._kubelet.wait()

    def _ctr(self, *arguments: str) -> str:
        address = ("--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io")
        return run(self._programs["ctr"], *address, *arguments)

    def _spawn(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(self._programs[name])]
        path = f"{self._programs['containerd'].parent}{os.pathsep}{os.environ['PATH']}"
        with (self._directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": path},  # where containerd finds its shim
            )

    def _wait(self, name: str, check: Callable[[], str]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                check()
            except (ClusterError, CommandError) as error:
                if time.monotonic() > deadline:
                    log = (self._directory / f"{name}.log").read_text("utf-8")[-4000:]
                    raise NodeError(f"{name} is not ready: {error}\n{log}") from error
                time.sleep(0.2)
            else:
                return

    def _write_files(self) -> None:
        runc = shutil.which("runc")
        assert runc is not None
        (self._directory / "cni").mkdir(parents=True)
        network = json.dumps(_NETWORK, indent=2)
        (self._directory / "cni" / "pods.conflist").write_text(network, "utf-8")
        settings = _CONTAINERD.format(
            directory=self._directory,
            programs=self._programs["bridge"].parent,
            runc=runc,
            snapshotter=self._snapshotter,
            pause=PAUSE,
        )
        (self._directory / "containerd.toml").write_text(settings, "utf-8")
        kubelet = json.dumps(self._kubelet_settings(), indent=2)
        (self._directory / "kubelet.json").write_text(kubelet, "utf-8")

    def _kubelet_settings(self) -> dict[str, object]:
        settings: dict[str, object] = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": NODE_ADDRESS,
            # Only the API server and our own pods are in the sandbox.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "podLogsDir": str(self._directory / "pod-logs"),
            "volumePluginDir": str(self._directory / "volume-plugins"),
            "resolvConf": "",
            "registerWithTaints": [],
            # So that it runs on a machine that is not set up as a node.
            "failCgroupV1": False,
            "failSwapOn": False,
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": False,
            "oomScoreAdj": 0,
            "makeIPTablesUtilChains": False,
            # A full disk is the developer's concern.
            "evictionHard": {"memory.available": "50Mi"},
            "imageGCHighThresholdPercent": 100,
        }
        if self._sync_frequency:
            settings["syncFrequency"] = self._sync_frequency
        return settings
