"""Installs CRDs into a cluster of tests."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from tests.support.cluster import Cluster
from tests.support.documented import GROUP, PLURAL
from tests.support.repository import CRD

CRD_NAME: Final = f"{PLURAL}.{GROUP}"
CRD_PATH: Final = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{CRD_NAME}"


class HasKubectl(Protocol):
    """A cluster that kubectl can reach."""

    def kubectl(self, *arguments: str) -> str: ...


@contextmanager
def cluster_with_crd(
    directory: Path,
    *,
    controller_manager: bool = False,
    audit: bool = True,
    flags: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """Run a cluster in which resources can be created; see `Cluster`."""
    with Cluster(
        directory, controller_manager=controller_manager, audit=audit, flags=flags
    ) as running:
        install_crd(running)
        yield running


def install_crd(cluster: HasKubectl, crd: Path = CRD, plural: str = PLURAL) -> None:
    """Install a CRD and wait until resources can be created."""
    cluster.kubectl("apply", "--server-side", "-f", str(crd))
    # Waiting for a condition fails while a CRD has none at all, which is until its names are taken.
    for state in (f"jsonpath={{.status.acceptedNames.plural}}={plural}", "condition=Established"):
        cluster.kubectl("wait", f"--for={state}", "--timeout=30s", "-f", str(crd))
    # A kind can be established before it can be stored; kubectl retries until it can.
    cluster.kubectl("get", plural, "--all-namespaces")
