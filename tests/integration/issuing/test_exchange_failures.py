"""What a failing token endpoint does to a resource: every class of failure, and the recovery."""

import base64
import itertools
import json
import time
from datetime import datetime, timedelta

import pytest

from tests.support.api import Kube, eventually, secret_path
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TOKEN_PREFIX, TokenEndpoint

FAILURES = [
    pytest.param("down", "Unavailable", id="connections are refused"),
    pytest.param("503-html", "Unavailable", id="503 with an HTML page"),
    pytest.param("500-access-denied", "Unavailable", id="500 with access_denied"),
    pytest.param("429", "Throttled", id="429"),
    pytest.param("429-retry-after", "Throttled", id="429 with Retry-After"),
    pytest.param("400", "Rejected", id="400"),
    pytest.param("401", "Rejected", id="401"),
    pytest.param("403", "Rejected", id="403"),
    pytest.param("403-html", "ResponseInvalid", id="403 with an HTML page"),
    pytest.param("404", "ResponseInvalid", id="404"),
    pytest.param("redirect", "ResponseInvalid", id="redirect"),
    pytest.param("truncated", "Unavailable", id="reply cut short"),
    pytest.param("no-expires-in", "ResponseInvalid", id="no expires_in"),
    pytest.param("negative", "ResponseInvalid", id="negative expires_in"),
    pytest.param("bad-token-type", "ResponseInvalid", id="other token type"),
    pytest.param("huge", "ResponseInvalid", id="reply of 10 MB"),
]


@pytest.mark.parametrize(("mode", "reason"), FAILURES)
def test_failure_is_reported_and_a_valid_token_stays(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    mode: str,
    reason: str,
) -> None:
    kube.create_credentials(namespace)
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")
    token = endpoint.tokens[-1]
    endpoint.mode = mode
    # Another client id, so that the operator has a reason for another exchange.
    kube.patch(secret_path(namespace, "account"), {"data": {"client_id": "b3RoZXI="}})

    kube.until(namespace, "Refreshed", reason)
    resource = kube.token(namespace)
    assert resource is not None
    assert resource["status"]["failedAttempts"] >= 1
    assert kube.reason(namespace, "search", "Ready") == "TokenValid"
    assert (kube.secret(namespace, "search") or {})["access_token"] == token

    # Changed credentials are tried at once, whatever the backoff; a rate-limited client waits.
    endpoint.mode = "ok"
    kube.patch(secret_path(namespace, "account"), {"data": {"client_id": "dGhpcmQ="}})
    kube.until(namespace, "Refreshed", "Succeeded")
    assert (kube.secret(namespace, "search") or {})["access_token"] == endpoint.tokens[-1]
    assert ((kube.token(namespace) or {})["status"])["failedAttempts"] == 0


def test_firewall_page_does_not_blame_the_credentials(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.mode = "403-html"
    kube.create_credentials(namespace)
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Refreshed", "ResponseInvalid")
    message = (kube.condition(namespace, "search", "Refreshed") or {})["message"]
    assert "a proxy, firewall or login page answered instead of the token endpoint" in message
    assert "client secret" not in message

    # It backs off as for an outage, in seconds, and not as for rejected credentials, in minutes.
    eventually(lambda: len(endpoint.requests) > 2, "the exchange was retried")
    endpoint.mode = "ok"
    kube.until(namespace, "Ready", "TokenValid")


def test_cached_token_is_never_kept_beyond_its_true_expiry(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    lifetime, expiries = 8, dict[str, float]()

    def reply(client_id: str) -> tuple[int, dict[str, str], bytes]:
        token = next((text for text in expiries if expiries[text] > time.time()), None)
        if token is None:
            token = f"{TOKEN_PREFIX}{client_id}-{len(expiries)}"
            expiries[token] = time.time() + lifetime
            endpoint.tokens.append(token)
        claim = {"access_token": token, "expires_in": lifetime, "token_type": "Bearer"}
        return 200, {"Content-Type": "application/json"}, json.dumps(claim).encode()

    endpoint.reply = reply
    kube.create_credentials(namespace)
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")
    while len(expiries) < 3:
        secret = kube.secret(namespace, "search") or {}
        claimed = datetime.fromisoformat(secret["expires_at"]).timestamp()
        # A second for the parts of one that times in the Secret do not have.
        assert claimed <= expiries[secret["access_token"]] + 1
        time.sleep(0.2)
    # Some for each token as its end comes closer, and retries until there is another.
    assert len(endpoint.requests) <= 2 * 12


def test_modified_target_is_repaired_while_rate_limited(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    kube.create_credentials(namespace)
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")
    endpoint.mode = "429-retry-after"
    kube.patch(secret_path(namespace, "account"), {"data": {"client_id": "b3RoZXI="}})
    kube.until(namespace, "Refreshed", "Throttled")

    drift = {"metadata": {"ownerReferences": []}, "data": {"token_type": None}}
    kube.patch(secret_path(namespace, "search"), drift)

    def repaired() -> bool:
        secret = kube.secret_object(namespace, "search") or {}
        return "token_type" in secret["data"] and bool(secret["metadata"].get("ownerReferences"))

    eventually(repaired, "the target is as it was")
    assert kube.reason(namespace, "search", "Refreshed") == "Throttled"
    assert ((kube.token(namespace) or {})["status"])["failedAttempts"] >= 1


def test_rejected_credentials_are_retried_when_they_change(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.credentials = {"id": "right-client-secret"}
    start_operator()
    kube.create_credentials(namespace, client_id="id", client_secret="wrong-client-secret")
    kube.create_token(namespace)
    kube.until(namespace, "Refreshed", "Rejected")
    assert kube.reason(namespace, "search", "Ready") == "TokenMissing"
    message = (kube.condition(namespace, "search", "Refreshed") or {})["message"]
    assert "check the client id and client secret in Secret" in message
    # Another reconcile alone does not cause another attempt.
    kube.patch(secret_path(namespace, "account"), {"metadata": {"labels": {"a": "b"}}})
    kube.create_token(namespace, "other", credentialsSecretRef={"name": "absent"})
    kube.until(namespace, "Ready", "CredentialsNotFound", "other")  # a later change is reconciled
    assert len(endpoint.requests) == 1

    kube.patch(
        secret_path(namespace, "account"),
        {"data": {"client_secret": "cmlnaHQtY2xpZW50LXNlY3JldA=="}},
    )
    kube.until(namespace, "Ready", "TokenValid")


def test_restored_credentials_are_no_longer_rejected(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.credentials = {"id": "right-client-secret"}
    start_operator()
    kube.create_credentials(namespace, client_id="id", client_secret="right-client-secret")
    kube.create_token(namespace)
    kube.until(namespace, "Refreshed", "Succeeded")
    for secret, reason in (
        ("wrong-client-secret", "Rejected"),
        ("right-client-secret", "Succeeded"),
    ):
        data = {"client_secret": base64.b64encode(secret.encode()).decode()}
        kube.patch(secret_path(namespace, "account"), {"data": data})
        kube.until(namespace, "Refreshed", reason)

    assert endpoint.exchanges == 1
    assert ((kube.token(namespace) or {})["status"])["failedAttempts"] == 0


def test_rate_limited_client_id_honors_retry_after(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.mode = "429-retry-after"  # 7 s
    kube.create_credentials(namespace)
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Refreshed", "Throttled")
    # Neither this resource nor another one of the same client id sends a request meanwhile.
    kube.create_token(namespace, "other")
    kube.until(namespace, "Refreshed", "Throttled", "other")
    asked = len(endpoint.requests)
    endpoint.mode = "ok"

    kube.until(namespace, "Ready", "TokenValid")
    moments = [moment for _, moment in endpoint.requests[: asked + 1]]
    assert min(after - before for before, after in itertools.pairwise(moments)) >= 7


def test_outage_within_the_margin_is_harmless(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.lifetime = 12
    kube.create_credentials(namespace)
    start_operator()
    kube.create_token(namespace, refreshBefore="6s")
    kube.until(namespace, "Ready", "TokenValid")
    endpoint.mode = "503-html"
    kube.until(namespace, "Refreshed", "Unavailable")
    assert kube.reason(namespace, "search", "Ready") == "TokenValid"
    endpoint.mode = "ok"

    kube.until(namespace, "Refreshed", "Succeeded")
    ready = kube.condition(namespace, "search", "Ready")
    created = (kube.token(namespace) or {})["metadata"]["creationTimestamp"]
    assert ready is not None
    # Ready has been true since the first token: the second after the creation, at the latest.
    assert ready["lastTransitionTime"] <= _plus(created, 3)


def test_text_lifetime_and_earlier_exp_are_accepted(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    kube.create_credentials(namespace)
    start_operator()
    for name, mode in (("text", "text-expires"), ("jwt", "long-expires")):
        endpoint.mode = mode
        kube.create_token(namespace, name)
        kube.until(namespace, "Ready", "TokenValid", name)
        status = (kube.token(namespace, name) or {})["status"]
        assert status["expiresAt"] <= _plus(status["lastRefreshAt"], 1800)


def _plus(moment: str, seconds: int) -> str:
    later = datetime.fromisoformat(moment) + timedelta(seconds=seconds)
    return later.strftime("%Y-%m-%dT%H:%M:%SZ")
