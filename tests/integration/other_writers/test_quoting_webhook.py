"""A webhook denies a Secret and quotes it in its message, which the API server passes on.

Right is: nothing of it is in the log, an Event or a status; every such fixture's end looks there.
"""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.admission import ALLOW, AdmissionWebhook, Verdict, deny
from tests.support.api import Kube
from tests.support.documented import ALLOW_MERGE
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

_CODES = (400, 401, 403, 404, 409, 422, 429, 500, 503)


def test_quoted_secret_is_not_passed_on(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    webhook: AdmissionWebhook,
) -> None:
    quoted: set[int] = set()

    def review(secret: Mapping[str, Any]) -> Verdict:
        code = secret["metadata"]["name"].rpartition("-")[2]
        if "access_token" not in secret.get("data", {}) or not code.isdecimal():
            return ALLOW
        quoted.add(int(code))
        return deny(int(code), f"not this: {json.dumps(secret['data'])}")

    webhook.review = review
    start_operator()
    allowed = {ALLOW_MERGE: "true"}
    with webhook.registered(kube, namespace):
        for code in _CODES:
            kube.create_token(namespace, f"owned-{code}")
            kube.create_secret(namespace, f"merged-{code}", {}, annotations=allowed)
            kube.create_token(namespace, f"merged-{code}", target={"creationPolicy": "Merge"})
        for code in _CODES:
            for name in (f"owned-{code}", f"merged-{code}"):
                kube.until(namespace, "Ready", "TokenMissing", name, timeout=30)
                refreshed = kube.condition(namespace, name, "Refreshed") or {}
                assert refreshed["status"] == "False", name
        assert quoted == set(_CODES)
    assert endpoint.exchanges == 2 * len(_CODES)
