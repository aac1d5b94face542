"""Secrets applied on the client side carry their data in an annotation as well.

Right is: what kubectl writes as last-applied-configuration is neither kept in memory nor does it
make a list time out, whatever the number of such Secrets.
"""

from concurrent.futures import ThreadPoolExecutor

from tests.support.api import Kube, secret_path
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

_SECRETS = 600
_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_KILOBYTES = 180
# Of 108 MB: what an operator takes without any of them, and a page of the list while it is parsed.
_MOST_MEGABYTES = 48


def create_secrets(kube: Kube, namespace: str) -> None:
    text = "x" * (_KILOBYTES * 1_000)

    def create(number: int) -> None:
        annotations = {_ANNOTATION: text}
        obj = {"metadata": {"name": f"applied-{number}", "annotations": annotations}}
        kube.create(secret_path(namespace), obj)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(_SECRETS)))


def test_large_annotations_take_no_memory_and_delay_no_token(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    kube.create_credentials(namespace)
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")
    before = operator.peak_rss_bytes()

    create_secrets(kube, namespace)  # each is an event of the watch
    kube.create_token(namespace, "while-watching")
    kube.until(namespace, "Ready", "TokenValid", "while-watching")
    watching = operator.peak_rss_bytes() - before
    operator.stop()

    operator.start()
    operator.wait_ready()  # all of them have been listed
    kube.create_token(namespace, "after-listing")
    kube.until(namespace, "Ready", "TokenValid", "after-listing")

    listing = operator.peak_rss_bytes() - before
    assert max(watching, listing) < _MOST_MEGABYTES * 1_000_000, (watching, listing)
    assert endpoint.exchanges == 3
    assert "Failed to list" not in operator.log.read_text("utf-8")
