"""Which pods will never see a new token, from tables of pods."""

from typing import Any

import pytest

from pinecone_token_operator.kubectl_plugin.consumers import Way, find_uses, in_uses
from pinecone_token_operator.kubectl_plugin.findings import Severity
from pinecone_token_operator.kubectl_plugin.reloader import in_workloads
from tests.support.builders import after

SECRET = "token"
VOLUME = {"name": "v", "secret": {"secretName": SECRET}}
OPTIONAL = {"name": "v", "secret": {"secretName": SECRET, "optional": True}}
PROJECTED = {"name": "v", "projected": {"sources": [{"secret": {"name": SECRET}}]}}
MOUNT = {"name": "v", "mountPath": "/token"}
SUB_PATH = {**MOUNT, "subPath": "access_token"}
SUB_PATH_EXPR = {**MOUNT, "subPathExpr": "$(POD)/access_token"}
SCRATCH = {"name": "s", "emptyDir": {}}
SCRATCH_MOUNT = {"name": "s", "mountPath": "/copy"}
REF = {"name": SECRET, "key": "access_token"}
ENV = {"name": "TOKEN", "valueFrom": {"secretKeyRef": REF}}
OPTIONAL_ENV = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {**REF, "optional": True}}}


def app(**fields: Any) -> dict[str, Any]:
    return {"name": "app", **fields}


def spec(
    *containers: dict[str, Any], inits: tuple[dict[str, Any], ...] = (), volumes: Any = (VOLUME,)
) -> dict[str, Any]:
    return {"containers": containers, "initContainers": inits, "volumes": volumes}


def pod(
    spec: dict[str, Any], started: str = "2026-11-25T12:05:00Z", **metadata: Any
) -> dict[str, Any]:
    statuses = [
        {"name": each["name"], "state": {"running": {"startedAt": started}}}
        for each in spec["containers"]
    ]
    return {
        "metadata": {"namespace": "shop", "name": "web-1", **metadata},
        "spec": spec,
        "status": {"phase": "Running", "containerStatuses": statuses},
    }


def secret(**annotations: str) -> dict[str, Any]:
    """Return a target that was created at 12:01, and refreshed at 12:04 unless said otherwise."""
    refreshed = {"pinecone.token-operator.dev/refreshed-at": "2026-11-25T12:04:00Z"}
    return {
        "metadata": {
            "name": SECRET,
            "creationTimestamp": "2026-11-25T12:01:00Z",
            "annotations": refreshed | annotations,
        }
    }


def found(
    pods: list[dict[str, Any]], target: dict[str, Any] | None = None
) -> list[tuple[Severity, str, str]]:
    findings = in_uses(find_uses(pods, SECRET), target or secret(), after(10))
    return [(each.severity, each.subject, each.problem) for each in findings]


@pytest.mark.parametrize(
    ("used", "way", "where"),
    [
        pytest.param(spec(app(volumeMounts=[MOUNT])), Way.DIRECTORY, "/token", id="volume"),
        pytest.param(
            spec(app(volumeMounts=[MOUNT]), volumes=(PROJECTED,)),
            Way.DIRECTORY,
            "/token",
            id="projected",
        ),
        pytest.param(spec(app(volumeMounts=[SUB_PATH])), Way.SUB_PATH, "/token", id="subPath"),
        pytest.param(
            spec(app(volumeMounts=[SUB_PATH_EXPR])), Way.SUB_PATH, "/token", id="subPathExpr"
        ),
        pytest.param(spec(app(env=[ENV])), Way.ENV, "TOKEN", id="env"),
        pytest.param(
            spec(app(envFrom=[{"secretRef": {"name": SECRET}}])), Way.ENV_FROM, "", id="envFrom"
        ),
        pytest.param(
            spec(
                app(volumeMounts=[SCRATCH_MOUNT]),
                inits=({"name": "copy", "volumeMounts": [MOUNT, SCRATCH_MOUNT]},),
                volumes=(VOLUME, SCRATCH),
            ),
            Way.COPY,
            "/copy",
            id="init container's copy",
        ),
        pytest.param(
            spec(
                app(volumeMounts=[SCRATCH_MOUNT]),
                inits=({"name": "copy", "env": [ENV], "volumeMounts": [SCRATCH_MOUNT]},),
                volumes=(SCRATCH,),
            ),
            Way.COPY,
            "/copy",
            id="init container's variable",
        ),
        pytest.param(
            spec(app(), inits=({"name": "side", "restartPolicy": "Always", "env": [ENV]},)),
            Way.ENV,
            "TOKEN",
            id="native sidecar",
        ),
    ],
)
def test_use_of_a_target_is_found(used: dict[str, Any], way: Way, where: str) -> None:
    (use,) = find_uses([pod(used)], SECRET)

    assert (use.way, use.where) == (way, where)


@pytest.mark.parametrize(
    "unused",
    [
        pytest.param(pod(spec(app())), id="volume that nobody mounts"),
        pytest.param(
            pod(spec(app(), inits=({"name": "i", "env": [ENV]},))), id="init container that ends"
        ),
        pytest.param(
            pod(spec(app(env=[ENV]))) | {"status": {"phase": "Succeeded"}}, id="pod that has ended"
        ),
        pytest.param(
            pod(spec(app(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "b"}}}]))),
            id="other Secret",
        ),
    ],
)
def test_other_pods_are_not_consumers(unused: dict[str, Any]) -> None:
    assert find_uses([unused], SECRET) == []


def test_mounted_directory_is_fine() -> None:
    assert found([pod(spec(app(volumeMounts=[MOUNT])))]) == []


def test_copy_is_no_finding_when_the_container_mounts_the_target() -> None:
    both = spec(
        app(volumeMounts=[SCRATCH_MOUNT, MOUNT]),
        inits=({"name": "copy", "volumeMounts": [MOUNT, SCRATCH_MOUNT]},),
        volumes=(VOLUME, SCRATCH),
    )
    assert found([pod(both)]) == []


@pytest.mark.parametrize(
    ("started", "severity", "words"),
    [
        ("2026-11-25T12:05:00Z", Severity.WARNING, "and will never see a new one (1 pod)"),
        ("2026-11-25T12:03:00Z", Severity.ERROR, "and has an outdated token now (1 pod)"),
    ],
)
def test_variable_is_an_error_once_it_is_outdated(
    started: str, severity: Severity, words: str
) -> None:
    ((level, subject, problem),) = found([pod(spec(app(env=[ENV])), started)])

    assert (level, subject) == (severity, "Pod shop/web-1")
    assert problem.endswith(words)


def test_pods_of_a_deployment_are_one_finding() -> None:
    owner = {"kind": "ReplicaSet", "name": "web-5d", "controller": True}
    labels = {"pod-template-hash": "5d"}
    pods = [
        pod(spec(app(env=[ENV])), name=f"web-5d-{i}", ownerReferences=[owner], labels=labels)
        for i in range(3)
    ]

    ((_, subject, problem),) = found(pods)

    assert subject == "Deployment shop/web"
    assert problem.endswith("(3 pods)")


def test_variable_of_a_job_is_a_notice() -> None:
    owner = {"kind": "Job", "name": "load", "controller": True}

    ((severity, subject, _),) = found([pod(spec(app(env=[ENV])), ownerReferences=[owner])])

    assert (severity, subject) == (Severity.NOTICE, "Job shop/load")


@pytest.mark.parametrize(
    ("used", "severity", "words"),
    [
        pytest.param(
            spec(app(volumeMounts=[MOUNT]), volumes=(OPTIONAL,)),
            Severity.NOTICE,
            "adds the files within about a minute",
            id="directory",
        ),
        pytest.param(
            spec(app(volumeMounts=[SUB_PATH]), volumes=(OPTIONAL,)),
            Severity.ERROR,
            "/token is an empty directory until it restarts",
            id="subPath",
        ),
        pytest.param(
            spec(app(env=[OPTIONAL_ENV])),
            Severity.ERROR,
            "the environment variable TOKEN is missing until it restarts",
            id="env",
        ),
    ],
)
def test_pod_that_started_before_the_target_is_found(
    used: dict[str, Any], severity: Severity, words: str
) -> None:
    ((level, _, problem),) = found([pod(used, "2026-11-25T12:00:00Z")])

    assert level is severity
    assert problem.endswith(words)


AUTO = {"reloader.stakater.com/auto": "true"}
IGNORE = {"reloader.stakater.com/ignore": "true"}
MATCH = {"reloader.stakater.com/match": "true"}
SEARCH = {"reloader.stakater.com/search": "true"}
LISTED = {"secret.reloader.stakater.com/reload": "other, token"}
MOUNTED = spec(app(volumeMounts=[MOUNT]))


@pytest.mark.parametrize(
    ("on_workload", "on_secret", "template", "is_found"),
    [
        pytest.param(AUTO, {}, MOUNTED, True, id="auto"),
        pytest.param(AUTO, IGNORE, MOUNTED, False, id="ignored target"),
        pytest.param(AUTO, {}, spec(app()), False, id="auto without use"),
        pytest.param({}, {}, MOUNTED, False, id="no annotation"),
        pytest.param(LISTED, {}, spec(app()), True, id="listed"),
        pytest.param(SEARCH, MATCH, MOUNTED, True, id="search and match"),
        pytest.param(SEARCH, {}, MOUNTED, False, id="search without match"),
    ],
)
def test_workload_that_reloader_restarts_is_found(
    on_workload: dict[str, str],
    on_secret: dict[str, str],
    template: dict[str, Any],
    is_found: bool,
) -> None:
    workload = {
        "kind": "Deployment",
        "metadata": {"namespace": "shop", "name": "web", "annotations": on_workload},
        "spec": {"template": {"spec": template}},
    }

    assert bool(list(in_workloads([workload], secret(**on_secret)))) is is_found
