"""Step 9: what an administrator and teams meet later: a quota, many namespaces, bad consumers."""

import json
import time

from tests.e2e import consumers
from tests.e2e.commands import CommandError
from tests.e2e.readings import fingerprint
from tests.e2e.release import Release
from tests.e2e.stage import Stage
from tests.e2e.team import CREDENTIALS, TARGET, Team
from tests.e2e.user import eventually
from tests.support.documented import CLUSTER_KIND, CLUSTER_PLURAL, GROUP, PLURAL, VERSION
from tests.support.repository import CLUSTER_CRD, CRD

_LABEL = "pinecone.example/token"
_VALUES = (
    "crds.enabled=false,clusterAccessTokens.enabled=true,networkPolicy.enabled=true"
    ",updateStrategy.type=RollingUpdate,updateStrategy.rollingUpdate.maxSurge=0"
    ",updateStrategy.rollingUpdate.maxUnavailable=1"
    ",resources.limits.cpu=1,helmTest.resources.limits.cpu=1"
)
_LIMITS = {
    "requests.cpu": "1",
    "requests.memory": "1Gi",
    "limits.cpu": "4",
    "limits.memory": "2Gi",
}
_DENY_ALL = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "default-deny"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}


def run(stage: Stage) -> None:
    """Run all steps."""
    for crd in (CRD, CLUSTER_CRD):
        stage.user.kubectl("apply", "--server-side", "-f", crd)
    release, team = Release(stage, "day-two"), Team(stage, "consumers")
    with stage.step("9. install for cluster-scoped tokens"):
        release.install("--set", _VALUES)
    with stage.step("9. one token for selected namespaces"):
        _share(stage, release)
    with stage.step("9. doctor finds consumers that miss a new token"):
        team.set_up()
        consumers.start_early(team)
        team.request_token()
        team.wait_ready()
        consumers.start_others(team)
        consumers.assert_found(team)
    with stage.step("9. a rollout under a full quota"):
        _roll_out_under_a_quota(stage, release)
    with stage.step("9. helm test under a quota"):
        _test_under_a_quota(stage, release)
    stage.assert_no_leak("after day two")
    release.uninstall()
    with stage.step("9. doctor finds files that are older than the Secret"):
        consumers.assert_old_files_found(team)
    team.delete(wait=False)
    plurals = [f"{plural}.{GROUP}" for plural in (PLURAL, CLUSTER_PLURAL)]
    stage.user.kubectl("delete", "crd", *plurals, "--timeout=30s")


def _share(stage: Stage, release: Release) -> None:
    """A pod in a selected namespace reads its copy; without the label, the copy goes."""
    Team(stage, release.name).create_credentials()
    selected = [Team(stage, f"shared-{name}") for name in "ab"]
    for team in selected:
        team.create()
        stage.user.kubectl("label", "namespace", team.namespace, f"{_LABEL}=true")
    before = len(stage.endpoint.tokens)
    spec = {
        "credentialsSecretRef": {"name": CREDENTIALS},
        "namespaceSelector": {"matchLabels": {_LABEL: "true"}},
        "target": {"name": TARGET},
    }
    kind = {"apiVersion": f"{GROUP}/{VERSION}", "kind": CLUSTER_KIND}
    stage.user.apply(release.name, {**kind, "metadata": {"name": "shared"}, "spec": spec})
    first, other = selected
    first.deploy()
    first.wait_reading()
    eventually(lambda: TARGET in other.secrets(), "the other namespace has its copy")
    assert len(stage.endpoint.tokens) == before + 1, "one exchange serves all namespaces"
    newest = fingerprint(stage.endpoint.tokens[-1])
    assert all(newest in each.changes for each in first.readings())

    began = time.monotonic()
    stage.user.kubectl("label", "namespace", first.namespace, f"{_LABEL}-")
    eventually(lambda: TARGET not in first.secrets(), "the copy goes with the label")
    stage.found["cluster token: seconds from removing the label to the copy being gone"] = round(
        time.monotonic() - began, 1
    )
    assert TARGET in other.secrets()
    stage.user.kubectl("delete", CLUSTER_PLURAL, "shared", "--timeout=30s")
    eventually(lambda: TARGET not in other.secrets(), "the copies go with the resource")
    for each in selected:
        each.delete(wait=False)


def _roll_out_under_a_quota(stage: Stage, release: Release) -> None:
    """With `maxSurge: 0`, a rollout fits where a third pod does not."""
    _limit(release, pods=2)
    before = {pod["metadata"]["name"]: pod["spec"] for pod in release.pods()}
    assert "exceeded quota" in _refusal(release, next(iter(before.values())))
    release.roll_out_with("--set", "podAnnotations.rollout=again")
    after = {pod["metadata"]["name"] for pod in release.pods()}
    assert len(after) == 2, after
    assert not after & before.keys(), "no pod was replaced"
    eventually(lambda: release.leader() in after, "a new pod leads")
    stage.found["rollout under a quota"] = "two pods replaced where a third was refused"


def _refusal(release: Release, spec: dict[str, object]) -> str:
    """Return why one more pod like the operator's is refused."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "third"},
        "spec": {key: value for key, value in spec.items() if key != "nodeName"},
    }
    create = ("create", "--dry-run=server", "--namespace", release.name, "-f", "-")
    try:
        release.stage.user.kubectl(*create, text=json.dumps(pod))
    except CommandError as error:
        return str(error)
    return ""


def _test_under_a_quota(stage: Stage, release: Release) -> None:
    """The pod of `helm test` fits a quota that demands requests and limits of every pod."""
    _limit(release, pods=3)
    stage.user.apply(release.name, _DENY_ALL)
    assert "passed" in release.test()
    # No network plugin of this node enforces it: what is shown is that nothing refuses the pod.
    stage.found["helm test"] = "passed under a quota; its NetworkPolicy was not enforced"


def _limit(release: Release, pods: int) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "limit"},
        "spec": {"hard": {"pods": str(pods), **_LIMITS}},
    }
    user = release.stage.user
    user.apply(release.name, quota)

    def is_counted() -> bool:
        found = user.get("resourcequota", "limit", "--namespace", release.name).get("status", {})
        is_known: bool = found.get("hard", {}).get("pods") == str(pods)
        return is_known and found.get("used", {}).get("pods") == "2"

    eventually(is_counted, "the quota counts the pods")
