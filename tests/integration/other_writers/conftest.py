"""What these tests share: credentials in the test's namespace, and a webhook's server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.admission import AdmissionWebhook
from tests.support.api import Kube


@pytest.fixture(autouse=True)
def credentials(kube: Kube, namespace: str) -> None:
    kube.create_credentials(namespace)


@pytest.fixture
def webhook(certificates: Path) -> Iterator[AdmissionWebhook]:
    with AdmissionWebhook(certificates) as running:
        yield running
