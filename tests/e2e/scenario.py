"""The scenario: what an administrator and a team do, from installing to uninstalling."""

import os
import time
from datetime import UTC, datetime

from tests.e2e import day_two, rights, sidecar
from tests.e2e.release import CONFINED, Release
from tests.e2e.stage import Stage
from tests.e2e.team import TARGET, Team
from tests.e2e.user import eventually
from tests.e2e.watching import watch

# After everything else; E2E_STEPS=sidecar watches for as long as the operator is watched.
_SIDECAR_SECONDS = 300.0
CRD = "pineconeaccesstokens.pinecone.token-operator.dev"


def run(stage: Stage) -> None:
    """Run all steps, or those that E2E_STEPS names."""
    if os.environ.get("E2E_STEPS") == "sidecar":
        sidecar.run(stage, stage.form.watch)
        return
    if os.environ.get("E2E_STEPS") == "day-two":
        day_two.run(stage)
        return
    release, team = Release(stage, "pinecone-token-operator"), Team(stage, "team")
    mark = stage.audit.mark()
    with stage.step("1. install"):
        _install(stage, release)
    with stage.step("2. a team requests a token"):
        _ask(team)
    with stage.step("3. watch the file"):
        watch(stage, release, team)
    stage.assert_no_leak("before uninstalling")
    with stage.step("6. helm test"):
        output = release.test()
        assert "passed" in output, output
        assert stage.user.items("pat", "--namespace", release.name) == []
    with stage.step("6. uninstall"):
        given = rights.granted(release)
        removed_at = _uninstall(release, team)
    stage.found["rights, all namespaces"] = rights.compare(release, given, mark, removed_at)
    with stage.step("7. install for two namespaces"):
        _install_for_some(stage)
    day_two.run(stage)
    sidecar.run(stage, min(stage.form.watch, _SIDECAR_SECONDS))
    stage.assert_no_leak("at the end")


def _install(stage: Stage, release: Release) -> None:
    release.install()
    pods = release.pods()
    assert len(pods) == 2, [pod["metadata"]["name"] for pod in pods]
    leader = eventually(release.leader, "a leader")
    for pod in pods:
        name = pod["metadata"]["name"]
        assert release.confinement(name) == CONFINED
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
        if name == leader:
            stage.found["seconds from the start of the container"] = release.start_seconds(pod)


def _ask(team: Team) -> None:
    team.set_up()
    team.deploy()
    # A pod does not start before the Secret that it mounts exists.
    waiting = eventually(team.readers, "pods")
    time.sleep(3)
    for pod in waiting:
        states = [each["state"] for each in pod["status"].get("containerStatuses", [])]
        assert all("waiting" in state for state in states), states
    team.request_token()
    team.wait_ready()
    team.wait_reading()


def _uninstall(release: Release, team: Team) -> datetime:
    other = Team(release.stage, "other-team")
    other.set_up()
    rights.exercise(other)
    other.request_token("kept", {"deletionPolicy": "Retain"})
    other.wait_ready("kept")

    removed_at = datetime.now(UTC)
    release.uninstall()

    user = release.stage.user
    assert user.get("crd", CRD)["metadata"]["name"] == CRD
    assert TARGET in team.secrets()
    assert TARGET in other.secrets()
    # Nothing gets stuck without an operator, and deletion policies still apply.
    other.kubectl("delete", "pat", "--all", "--timeout=10s")
    eventually(lambda: TARGET not in other.secrets(), "the target is deleted with its resource")
    assert "kept" in other.secrets()
    for each in (team, other):
        each.delete()
    return removed_at


def _install_for_some(stage: Stage) -> None:
    user = stage.user
    teams = {name: Team(stage, f"team-{name}") for name in "abc"}
    for team in teams.values():
        team.set_up()
    release = Release(stage, "team-tokens")
    mark = stage.audit.mark()
    served = f"watchNamespaces={{{teams['a'].namespace},{teams['b'].namespace}}}"
    # The CRD was kept.
    shared = "crds.enabled=false,rbac.aggregateClusterRoles=false"
    release.install("--set", served, "--set", shared)
    bound = [
        binding["metadata"]["name"]
        for binding in user.items("clusterrolebindings")
        for subject in binding.get("subjects", [])
        if subject.get("namespace") == release.name
    ]
    assert bound == [], "the account has a ClusterRole"
    teams["c"].request_token()
    rights.exercise(teams["a"])
    teams["b"].request_token()
    teams["b"].wait_ready()
    assert teams["c"].condition("Ready") == ("", "")
    assert TARGET not in teams["c"].secrets()
    given, removed_at = rights.granted(release), datetime.now(UTC)
    release.uninstall()
    stage.found["rights, two namespaces"] = rights.compare(release, given, mark, removed_at)
    asked = rights.requests(release, mark)
    assert {one.namespace for one in asked if one.resource} == {
        release.name,
        teams["a"].namespace,
        teams["b"].namespace,
    }
    for team in teams.values():
        team.delete()
    user.kubectl("delete", "crd", CRD, "--timeout=30s")
