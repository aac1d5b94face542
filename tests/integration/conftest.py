"""What integration tests share: one API server for the whole run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster

CRD = Path(__file__).resolve().parents[2] / "crds" / "pineconeaccesstokens.yaml"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), controller_manager=True) as running:
        running.kubectl("apply", "--server-side", "-f", str(CRD))
        running.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRD))
        yield running
