"""Pods that miss a new token, and what `kubectl pinecone-token doctor` finds in them."""

import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from tests.e2e.place import PYTHON
from tests.e2e.team import TARGET, Team
from tests.e2e.user import eventually
from tests.support.control_plane import binaries
from tests.support.documented import EXPIRES_AT, REFRESHED_AT
from tests.support.kubectl_plugin import Plugin
from tests.support.repository import ROOT

_SECRET = {"secretName": TARGET, "defaultMode": 0o440}
_MOUNT = {"name": "token", "mountPath": "/token"}
_COPY = {"name": "copy", "mountPath": "/copy"}
_EARLY = {"name": "early", "mountPath": "/token"}
_EARLY_PARTIAL = {"name": "early-partial", "mountPath": "/token", "subPath": "expires_at"}
_VARIABLE = {"secretKeyRef": {"name": TARGET, "key": "expires_at", "optional": True}}
# The operator's image has no `cat`, which applications' images have.
_CAT = f"#!{PYTHON} -I\nimport sys\nprint(open(sys.argv[1]).read(), end='')\n"
_PROGRAMS = {"name": "programs", "mountPath": "/programs"}
_SLEEP = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit()); signal.pause()"


def start_early(team: Team) -> None:
    """Start a pod whose Secret does not exist yet."""
    team.kubectl("create", "configmap", "programs", f"--from-literal=cat={_CAT}")
    # One volume each: where the Secret is missing, a subPath leaves an empty directory in its
    # volume, which stays in the way of the file.
    missing = {"secret": {**_SECRET, "optional": True}}
    volumes = [{"name": "early", **missing}, {"name": "early-partial", **missing}]
    containers = [
        _container(team, "directory", volumeMounts=[_EARLY]),
        _container(team, "variable", env=[{"name": "EXPIRES_AT", "valueFrom": _VARIABLE}]),
        _container(team, "partial", volumeMounts=[_EARLY_PARTIAL]),
    ]
    _create(team, "early", {"volumes": volumes, "containers": containers})
    _wait(team, "early")
    time.sleep(1.1)  # Kubernetes counts whole seconds


def start_others(team: Team) -> None:
    """Start a pod that takes the token in each of the other ways."""
    volumes = [{"name": "token", "secret": _SECRET}, {"name": "copy", "emptyDir": {}}]
    script = "import shutil; shutil.copy('/token/expires_at', '/copy/expires_at')"
    copies = _container(team, "copies", volumeMounts=[_MOUNT, _COPY])
    variable = {"secretKeyRef": {"name": TARGET, "key": "expires_at"}}
    containers = [
        _container(team, "directory", volumeMounts=[_MOUNT]),
        _container(team, "partial", volumeMounts=[{**_MOUNT, "subPath": "expires_at"}]),
        _container(team, "variable", env=[{"name": "EXPIRES_AT", "valueFrom": variable}]),
        _container(team, "variables", envFrom=[{"secretRef": {"name": TARGET}}]),
        _container(team, "copied", volumeMounts=[_COPY]),
    ]
    inits = [copies | {"command": [PYTHON, "-I", "-c", script]}]
    spec = {"volumes": volumes, "initContainers": inits, "containers": containers}
    _create(team, "others", spec)
    _wait(team, "others")


def plugin(team: Team) -> Plugin:
    """Return the plugin as a user of the team runs it."""
    kubectl = str(binaries("kubectl")["kubectl"].parent)
    found = Plugin(team.stage.user.kubeconfig, team.stage.directory, team.namespace)
    return found.with_path(kubectl, *os.defpath.split(os.pathsep))


def doctor(team: Team) -> str:
    """Return what `doctor` finds in a team's resource, with the age of mounted files."""
    done = plugin(team).run("doctor", TARGET, "--check-files")
    assert done.stderr == ""
    return done.stdout


def assert_found(team: Team) -> None:
    """Check that what `doctor` finds is what the containers see."""
    time.sleep(1.1)
    refreshed = plugin(team).run("refresh", TARGET, "--wait")
    assert refreshed.returncode == 0, refreshed.stderr
    current = _expiry(team)
    # The kubelet updates the two directories.
    for pod in ("early", "others"):
        eventually(lambda pod=pod: _reads(team, pod, "directory") == current, "it reads it", 120.0)  # type: ignore[misc]  # mypy #16261

    # What they have is neither current nor, in the early pod, anything at all.
    assert _runs(team, "early", "variable", "import os; print(os.environ.get('EXPIRES_AT'))") == (
        "None"
    )
    assert _runs(team, "early", "partial", "import os; print(os.listdir('/token'))") == "[]"
    for container, code in (
        ("partial", "print(open('/token').read())"),
        ("variable", "import os; print(os.environ['EXPIRES_AT'])"),
        ("variables", "import os; print(os.environ['expires_at'])"),
        ("copied", "print(open('/copy/expires_at').read())"),
    ):
        assert _runs(team, "others", container, code) < current, container

    found = doctor(team)
    for what in (
        "container directory started before Secret pinecone-access-token was created",
        "(optional: true): the environment variable EXPIRES_AT is missing until it restarts",
        "(optional: true): /token is an empty directory until it restarts",
        "container partial mounts the token by subPath at /token, which the kubelet never updates",
        "container variable has the token in the environment variable EXPIRES_AT",
        "container variables has the token in its environment (envFrom)",
        "container copied reads a copy in /copy that an init container made",
    ):
        assert what in found, f"{what}\n{found}"
    assert "older than the Secret" not in found, found
    assert "files of pod" not in found, found
    team.stage.found["doctor on the node"] = found.splitlines()[-1]


def assert_old_files_found(team: Team) -> None:
    """Check that `doctor` finds files that are older than the Secret says that it is.

    The operator must have gone: it would repair the annotations.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    times = {EXPIRES_AT: now + timedelta(hours=1), REFRESHED_AT: now - timedelta(minutes=5)}
    pairs = [
        f"{name}={moment.isoformat().replace('+00:00', 'Z')}" for name, moment in times.items()
    ]
    team.kubectl("annotate", "--overwrite", "secret", TARGET, *pairs)

    found = doctor(team)

    where = "the files in /token of container directory are older than the Secret"
    for pod in ("early", "others"):
        assert f"Pod {team.namespace}/{pod}\n         {where}" in found, found


def _expiry(team: Team) -> str:
    found = team.stage.user.get("secret", TARGET, "--namespace", team.namespace)
    expiry: str = found["metadata"]["annotations"][EXPIRES_AT]
    return expiry


def _reads(team: Team, pod: str, container: str) -> str:
    code = "import pathlib; p = pathlib.Path('/token/expires_at');"
    return _runs(team, pod, container, f"{code} print(p.read_text() if p.exists() else '')")


def _runs(team: Team, pod: str, container: str, code: str) -> str:
    return team.kubectl("exec", pod, "--container", container, "--", PYTHON, "-c", code).strip()


def _container(team: Team, name: str, **fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = _example()["containers"][0]
    fields["volumeMounts"] = [*fields.get("volumeMounts", ()), _PROGRAMS]
    fields["env"] = [*fields.get("env", ()), {"name": "PATH", "value": _PROGRAMS["mountPath"]}]
    changed = {"name": name, "image": team.stage.image, "args": []}
    return base | changed | {"command": [PYTHON, "-I", "-c", _SLEEP]} | fields


def _example() -> dict[str, Any]:
    """Return the spec of the example's pod."""
    deployment = yaml.safe_load((ROOT / "examples" / "pod.yaml").read_text("utf-8"))
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


def _create(team: Team, name: str, spec: Mapping[str, Any]) -> None:
    programs = {"name": "programs", "configMap": {"name": "programs", "defaultMode": 0o555}}
    pod: dict[str, Any] = {**_example(), **spec, "volumes": [*spec["volumes"], programs]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod}
    team.stage.user.apply(team.namespace, body)


def _wait(team: Team, *pods: str) -> None:
    names: Sequence[str] = [f"pod/{each}" for each in pods]
    team.kubectl("wait", "--for=condition=Ready", *names, "--timeout=90s")
