"""A tenant's template renders to more than a Secret holds.

Right is: it is refused before it is rendered, without an exchange, and takes no memory of others.
"""

from tests.support.api import Kube
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

_KEYS = 20
# As much as the CRD lets through: about 20 MB with a token of a thousand characters.
_TEXT = "${access_token}" * 1_000
_RESOURCES = 4
# What an operator without any resource takes, and a little.
_MOST_MEGABYTES = 48


def test_large_template_is_refused_unrendered(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")
    before = operator.peak_rss_bytes()
    template = {"data": {f"key-{number}": _TEXT for number in range(_KEYS)}}
    for number in range(_RESOURCES):
        kube.create_token(namespace, f"large-{number}", target={"template": template})
    for number in range(_RESOURCES):
        kube.until(namespace, "Refreshed", "TemplateTooLarge", f"large-{number}")
    assert operator.peak_rss_bytes() - before < _MOST_MEGABYTES * 1_000_000
    operator.stop()

    operator.start()
    operator.wait_ready()
    kube.create_token(namespace, "later")
    kube.until(namespace, "Ready", "TokenValid", "later")
    assert operator.peak_rss_bytes() - before < _MOST_MEGABYTES * 1_000_000
    assert endpoint.exchanges == 2

    small = {"data": {f"key-{number}": None for number in range(1, _KEYS)} | {"key-0": "x"}}
    kube.patch_token(namespace, "large-0", {"spec": {"target": {"template": small}}})
    kube.until(namespace, "Ready", "TokenValid", "large-0")
