"""Admission webhooks for tests: a real HTTPS server that the API server asks about Secrets.

    with AdmissionWebhook(certificates) as webhook, webhook.registered(kube, namespace):
        webhook.review = lambda secret: deny(500, "no")

A webhook that is registered without a server is a dead one: see `dead_webhook`.
"""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tests.support.api import Kube, KubeError, eventually, secret_path
from tests.support.certificates import make_certificates

_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
WEBHOOKS = f"{_ADMISSION}/mutatingwebhookconfigurations"
POLICIES = f"{_ADMISSION}/validatingadmissionpolicies"
POLICY_BINDINGS = f"{_ADMISSION}/validatingadmissionpolicybindings"
_PROBE = "admission-probe"
_NOBODY_LISTENS = "https://127.0.0.1:1/review"

Verdict = Mapping[str, Any]
Review = Callable[[Mapping[str, Any]], Verdict]

ALLOW: Verdict = {"allowed": True}

_SECRETS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"]}
_WRITES = {**_SECRETS, "operations": ["CREATE", "UPDATE"]}

DENYING_POLICY: Mapping[str, Any] = {
    "failurePolicy": "Fail",
    "matchConstraints": {"resourceRules": [_WRITES]},
    "validations": [{"expression": "false", "message": "Secrets are frozen"}],
}
"""The spec of a ValidatingAdmissionPolicy that denies each write of a Secret."""


def deny(code: int, message: str) -> Verdict:
    """Return a denial that the API server passes on with this HTTP status and message."""
    return {"allowed": False, "status": {"code": code, "message": message}}


def change(operations: Sequence[Mapping[str, Any]]) -> Verdict:
    """Return a permission that applies a JSON patch first."""
    patch = base64.b64encode(json.dumps(list(operations)).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": patch}


class AdmissionWebhook:
    """The server of a mutating webhook.

    Attributes:
        review: returns the verdict on a Secret that is created or updated.
    """

    def __init__(self, directory: Path) -> None:
        make_certificates(directory)
        self.review: Review = lambda _: ALLOW
        self._directory = directory
        self._probes = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(directory / "leaf.pem", directory / "leaf.key")
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="webhook", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @contextmanager
    def registered(self, kube: Kube, namespace: str) -> Iterator[None]:
        """Have the API server ask this webhook about the Secrets of a namespace."""
        client = {
            "url": f"https://127.0.0.1:{self._server.server_port}/review",
            "caBundle": base64.b64encode((self._directory / "ca.pem").read_bytes()).decode(),
        }
        before = self._probes

        def is_asked() -> bool:
            probe(kube, namespace)
            return self._probes > before

        with _registered(kube, namespace, client):
            eventually(is_asked, "the webhook is asked", poll=0.1)
            yield

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5  # an idle connection must not hold up the end

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                text = json.dumps(webhook.answer(json.loads(body))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def answer(self, review: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to an AdmissionReview."""
        request = review["request"]
        verdict = ALLOW
        if request["name"] == _PROBE:
            self._probes += 1
        else:
            verdict = self.review(request["object"])
        return {**review, "response": {**verdict, "uid": request["uid"]}}


@contextmanager
def dead_webhook(kube: Kube, namespace: str) -> Iterator[str]:
    """Register a webhook for Secrets that nobody serves; yield its name."""

    def is_asked() -> bool:
        try:
            probe(kube, namespace)
        except KubeError:
            return True
        return False

    with _registered(kube, namespace, {"url": _NOBODY_LISTENS}) as name:
        eventually(is_asked, "the webhook is asked", poll=0.1)
        yield name


def probe(kube: Kube, namespace: str) -> dict[str, Any]:
    """Return what admission makes of a Secret, without creating it."""
    body = {"metadata": {"name": _PROBE}, "data": {"access_token": "cHJvYmU="}}
    return kube.create(f"{secret_path(namespace)}?dryRun=All", body)


def restricted_to(namespace: str) -> Mapping[str, Any]:
    """Return the field that restricts a webhook or a policy to one namespace."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


def dead_webhook_object(namespace: str) -> Mapping[str, Any]:
    """Return the configuration of a webhook for a namespace's Secrets that nobody serves."""
    return _webhook(namespace, {"url": _NOBODY_LISTENS})


def _webhook(namespace: str, client: Mapping[str, str]) -> Mapping[str, Any]:
    name = f"secrets.{namespace}.example.com"
    webhook = {
        "name": name,
        "clientConfig": client,
        "rules": [_WRITES],
        **restricted_to(namespace),
        "failurePolicy": "Fail",
        "timeoutSeconds": 2,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {"metadata": {"name": name}, "webhooks": [webhook]}


@contextmanager
def _registered(kube: Kube, namespace: str, client: Mapping[str, str]) -> Iterator[str]:
    obj = _webhook(namespace, client)
    name: str = obj["metadata"]["name"]
    kube.create(WEBHOOKS, obj)
    try:
        yield name
    finally:
        kube.delete(f"{WEBHOOKS}/{name}")
