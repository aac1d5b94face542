"""The programs that tests run: where each comes from, and how long it takes to build.

Those of one Go module are built together, and share the packages they have in common.
"""

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.repository import ROOT

_TOOLS = ROOT / "tests" / "tools"
_CLUSTER = _TOOLS / "cluster"
_NODE = _TOOLS / "node"

_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_CNI = "github.com/containernetworking/plugins/plugins"


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is built from a pinned Go module.

    Attributes:
        name: what it is called, by those who run it too.
        package: its main package.
        module: the directory of the Go module that pins it.
        seconds: how long it took on two cores, with an empty build cache, after the programs of the
            same module that are listed before it.
    """

    name: str
    package: str
    module: Path
    seconds: int


@dataclass(frozen=True, slots=True)
class Archive:
    """A release archive of envtest: etcd, kube-apiserver and kubectl for one platform.

    Attributes:
        version: Kubernetes' version, without a "v".
        platform: Go's names of the operating system and the processor.
        sha512: the archive's checksum, in hex.
    """

    version: str
    platform: str
    sha512: str

    @property
    def path(self) -> str:
        """Where the archive is below the base URL."""
        return f"envtest-v{self.version}/envtest-v{self.version}-{self.platform}.tar.gz"


# What an archive of envtest holds. These three always come from the same source.
ENVTEST: Final = ("etcd", "kubectl", "kube-apiserver")

_ENVTEST_VERSION = "1.36.2"
_ENVTEST_SHA512 = {
    "linux-amd64": "ea743186c8a799f5cf8faf16969f86189d003cb7d130e0ac4b58789f1e5748dc"
    "f30ebe91c837a10d5ac415383da3e10b9e64d65785c938c23e739781cfb76f08",
    "linux-arm64": "2d72ee985a8e262a3c57dc9f7f0fd891f6a8c7bf7ebaa2db6dc6d8eac8ae2818"
    "1afe51c1f368b67756cdb40b10de9b205609e1726e5f27f7c6d824dd9c6649ac",
    "darwin-amd64": "b4fe9f973cd1992e3880f8b230ed32c0c243b83371591e3e3315f4404df2cdbe"
    "f8ee94eeb9bb245b7e5feb987d5c4a76c43e0877654ab73f00d7bbc2b9984514",
    "darwin-arm64": "9278f9e5af556b2f1f2d139769c1f0d717c7b4426917fdebdba898bcb725a916"
    "e4910d6160886194ff9be9589ea7c5c32c2b8ae0754703874b7c8ba8ddfc41ce",
}

# All that `make test` runs.
TEST_PROGRAMS: Final = (
    Program("etcd", "go.etcd.io/etcd/server/v3", _CLUSTER, 35),
    Program("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", _CLUSTER, 230),
    Program("kubectl", "k8s.io/kubernetes/cmd/kubectl", _CLUSTER, 30),
    Program("controllers", "./controllers", _CLUSTER, 10),
    Program("helm", "helm.sh/helm/v4/cmd/helm", _CLUSTER, 20),
    Program("alerts", ".", _TOOLS / "alerts", 50),
    Program("monitors", ".", _TOOLS / "monitors", 10),
)
# What runs pods, named as the container runtime looks them up.
NODE_PROGRAMS: Final = (
    Program(
        "kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", _CLUSTER, 90
    ),
    Program("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", _CLUSTER, 30),
    Program("kubelet", "k8s.io/kubernetes/cmd/kubelet", _CLUSTER, 90),
    Program("containerd", f"{_CONTAINERD}/containerd", _NODE, 90),
    Program("containerd-shim-runc-v2", f"{_CONTAINERD}/containerd-shim-runc-v2", _NODE, 10),
    Program("ctr", f"{_CONTAINERD}/ctr", _NODE, 10),
    Program("bridge", f"{_CNI}/main/bridge", _NODE, 10),
    Program("host-local", f"{_CNI}/ipam/host-local", _NODE, 2),
    Program("loopback", f"{_CNI}/main/loopback", _NODE, 2),
    Program("pause", ".", _NODE, 2),
)
PROGRAMS: Final = {program.name: program for program in (*TEST_PROGRAMS, *NODE_PROGRAMS)}

# Must not be newer than the API server: https://kubernetes.io/releases/version-skew-policy/
NEEDS_EQUAL_VERSION: Final = frozenset({"kube-controller-manager", "kube-scheduler", "kubelet"})


def archive() -> Archive | None:
    """Return the archive for this machine, if there is one."""
    machine = platform.machine().lower()
    processor = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    name = f"{platform.system().lower()}-{processor}"
    sha512 = _ENVTEST_SHA512.get(name)
    return None if sha512 is None else Archive(_ENVTEST_VERSION, name, sha512)
