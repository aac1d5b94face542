"""`refresh`, `suspend`, `resume`, `events` and `print` against the real API server and operator."""

from tests.support.api import Kube, eventually
from tests.support.documented import REFRESH_REQUESTED_AT
from tests.support.kubectl_plugin import Plugin, create_ready_token
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

NAME = "search"


def test_refresh_waits_until_the_operator_has_a_new_token(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    plugin: Plugin,
) -> None:
    start_operator()
    create_ready_token(kube, namespace)
    before = len(endpoint.tokens)

    done = plugin.run("refresh", NAME, "--wait")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"pineconeaccesstoken/{NAME} refreshed; the token expires in ")
    assert len(endpoint.tokens) == before + 1


def test_refresh_reports_why_it_failed(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    plugin: Plugin,
) -> None:
    start_operator()
    create_ready_token(kube, namespace)
    endpoint.credentials = {}

    done = plugin.run("refresh", NAME, "--wait")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"pineconeaccesstoken/{NAME} not refreshed: Rejected: ")


def test_refresh_gives_up_when_no_operator_handles_it(
    kube: Kube, namespace: str, plugin: Plugin
) -> None:
    kube.create_token(namespace, NAME)

    done = plugin.run("refresh", NAME, "--wait", "--timeout=1s")

    assert done.returncode == 1
    assert "not refreshed in 1 s: no operator has handled the request" in done.stderr


def test_refresh_without_wait_only_sets_the_annotation(
    kube: Kube, namespace: str, plugin: Plugin
) -> None:
    kube.create_token(namespace, NAME)

    done = plugin.run("refresh", f"pat/{NAME}")

    assert (done.returncode, done.stdout) == (0, f"pineconeaccesstoken/{NAME} refresh requested\n")
    assert REFRESH_REQUESTED_AT in (kube.token(namespace) or {})["metadata"]["annotations"]


def test_suspend_and_resume_change_the_resource(
    kube: Kube, namespace: str, start_operator: StartOperator, plugin: Plugin
) -> None:
    start_operator()
    create_ready_token(kube, namespace)

    suspended = plugin.run("suspend", NAME)
    refused = plugin.run("refresh", NAME, "--wait")
    shown = plugin.run("status")
    resumed = plugin.run("resume", NAME)

    assert suspended.stdout.startswith(f"pineconeaccesstoken/{NAME} suspended; its token expires")
    assert refused.returncode == 1
    assert "is suspended: it is not refreshed until" in refused.stderr
    assert " suspended " in shown.stdout
    assert resumed.stdout == f"pineconeaccesstoken/{NAME} resumed\n"
    assert (kube.token(namespace) or {})["spec"]["suspend"] is False


def test_events_shows_what_the_operator_recorded(
    kube: Kube, namespace: str, start_operator: StartOperator, plugin: Plugin
) -> None:
    start_operator()
    kube.create_token(namespace, NAME)
    path = f"/api/v1/namespaces/{namespace}/events"
    eventually(lambda: (kube.get(path) or {})["items"], "an Event is recorded")

    done = plugin.run("events", NAME)

    assert done.returncode == 0
    assert done.stdout.startswith("LAST SEEN")
    assert "CredentialsNotFound" in done.stdout
    assert f"pineconeaccesstoken/{NAME}" in plugin.run("events").stdout


def test_print_prints_the_token_and_nothing_else(
    kube: Kube, namespace: str, start_operator: StartOperator, plugin: Plugin
) -> None:
    start_operator()
    create_ready_token(kube, namespace)

    done = plugin.run("print", NAME)

    stored = (kube.secret(namespace, NAME) or {})["access_token"]
    # Not shown where the comparison fails: it is a token.
    is_stored = done.stdout == f"{stored}\n"
    assert is_stored
    assert (done.returncode, done.stderr) == (0, "")


def test_print_refuses_an_expired_token(
    kube: Kube, namespace: str, start_operator: StartOperator, plugin: Plugin
) -> None:
    operator = start_operator()
    create_ready_token(kube, namespace)
    operator.kill()
    annotation = {"pinecone.token-operator.dev/expires-at": "2026-01-01T00:00:00Z"}
    kube.patch(
        f"/api/v1/namespaces/{namespace}/secrets/{NAME}", {"metadata": {"annotations": annotation}}
    )

    done = plugin.run("print", NAME)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"the token in Secret {namespace}/{NAME} expired " in done.stderr
