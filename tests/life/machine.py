"""The operator through any sequence of what may happen to it, in hours that pass at once."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pinecone_token_operator.targets import target
from tests.life.endpoint import DOWN, GOOD_SECRETS, OK, TROUBLES
from tests.life.small_api import SECRETS, TOKENS
from tests.life.world import World, encode
from tests.support.leaks import find_leaks

NAMES = ("a", "b")
SHARED = "shared"
CREDENTIALS = ("one", "two")
MINUTE, HOUR = 60, 3600
# The longest back-off is 15 min and a tenth, and the next listing as far away as 11 min.
PATIENCE = timedelta(minutes=20)

names = st.sampled_from(NAMES)
secrets = st.sampled_from([*NAMES, SHARED])
accounts = st.sampled_from(CREDENTIALS)
seconds = st.sampled_from([1, 7, MINUTE, 5 * MINUTE, 21 * MINUTE, HOUR, 5 * HOUR])
OTHER_OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "a11"}
ALLOWED = {"annotations": {target.ALLOW_MERGE: "true"}}
DAMAGE: dict[str, Mapping[str, Any]] = {
    "the token is another": {"data": {"access_token": encode("damaged")}},
    "the token is gone": {"data": {"access_token": None}},
    "another key is another": {"data": {"token_type": encode("mac")}},
    "a key is added": {"data": {"foreign": encode("theirs")}},
    "all annotations are gone": {"metadata": {"annotations": None}},
    "it seems to live on": {
        "metadata": {"annotations": {target.EXPIRES_AT: "2036-01-01T00:00:00Z"}}
    },
    "it seems not to be due": {
        "metadata": {"annotations": {target.REFRESH_AT: "2036-01-01T00:00:00Z"}}
    },
    "its plan is nonsense": {"metadata": {"annotations": {target.REFRESH_AT: "soon"}}},
    "what is managed is nonsense": {"metadata": {"annotations": {target.MANAGED: "[[["}}},
    "it may be merged into": {"metadata": ALLOWED},
    "it may not be merged into": {"metadata": {"annotations": {target.ALLOW_MERGE: None}}},
    "the label is gone": {"metadata": {"labels": None}},
    "it is nobody's": {"metadata": {"ownerReferences": None}},
    "it is somebody's": {"metadata": {"ownerReferences": [OTHER_OWNER]}},
    "it is nobody's at all": {
        "metadata": {"ownerReferences": None, "labels": None, "annotations": None}
    },
    "it is immutable": {"immutable": True},
}


def spec(
    creation: str, deletion: str, account: str, where: str | None, before: str | None
) -> dict[str, Any]:
    """Return a spec of which nothing is left to the API server's defaults."""
    template = {
        "type": "Opaque",
        "metadata": {"labels": {"app": "shop"}},
        "data": {"authorization": "Bearer ${access_token}"},
    }
    wanted = {"creationPolicy": creation, "deletionPolicy": deletion, "template": template}
    return {
        "credentialsSecretRef": {
            "name": account,
            "clientIDKey": "client_id",
            "clientSecretKey": "client_secret",
        },
        "target": {**wanted, **({"name": where} if where else {})},
        "suspend": False,
        **({"refreshBefore": before} if before else {}),
    }


specs = st.builds(
    spec,
    st.sampled_from(["Owner", "Owner", "Merge"]),
    st.sampled_from(["Delete", "Retain"]),
    accounts,
    st.none() | st.just(SHARED),
    st.none() | st.just("10m"),
)


class Life(RuleBasedStateMachine):
    """One operator, two resources, and everybody else."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        for name, secret in zip(CREDENTIALS, GOOD_SECRETS, strict=True):
            self.world.put_credentials(name, {"client_id": name, "client_secret": secret})
        self.world.run()

    @initialize(wanted=st.lists(specs, max_size=2))
    def begin(self, wanted: list[dict[str, Any]]) -> None:
        for name, one in zip(NAMES, wanted, strict=False):
            self.world.create_resource(name, one)

    # The resource

    @rule(name=names, wanted=specs)
    def create(self, name: str, wanted: dict[str, Any]) -> None:
        self.world.create_resource(name, wanted)

    @rule(name=names, suspend=st.booleans())
    def suspend(self, name: str, *, suspend: bool) -> None:
        self.world.patch_resource(name, {"spec": {"suspend": suspend}})

    @rule(name=names, account=accounts)
    def use_other_credentials(self, name: str, account: str) -> None:
        self.world.patch_resource(name, {"spec": {"credentialsSecretRef": {"name": account}}})

    @rule(
        name=names,
        part=st.sampled_from(
            [
                {"refreshBefore": "1m"},
                {"refreshBefore": "10m"},
                {"refreshBefore": None},
                {"target": {"deletionPolicy": "Retain"}},
                {"target": {"deletionPolicy": "Delete"}},
                {"target": {"template": {"data": {"more": "$$${expires_at_unix}"}}}},
                {"target": {"template": {"data": None, "metadata": None}}},
            ]
        ),
    )
    def change(self, name: str, part: dict[str, Any]) -> None:
        self.world.patch_resource(name, {"spec": part})

    @rule(name=names, after=st.sampled_from([-HOUR, 0, MINUTE, HOUR]))
    def request_refresh(self, name: str, after: int) -> None:
        self.world.request_refresh(name, timedelta(seconds=after))

    @rule(name=names)
    def delete(self, name: str) -> None:
        self.world.delete_resource(name)

    @rule(name=names, wanted=specs)
    def replace(self, name: str, wanted: dict[str, Any]) -> None:
        self.world.delete_resource(name)
        self.world.create_resource(name, wanted)

    @rule(name=names, held=st.booleans())
    def hold(self, name: str, *, held: bool) -> None:
        finalizers = ["example.com/hold"] if held else None
        self.world.patch_resource(name, {"metadata": {"finalizers": finalizers}})

    # Secrets

    @rule(
        account=accounts,
        secret=st.sampled_from([*GOOD_SECRETS, GOOD_SECRETS[0] + "\n", "a-wrong-client-secret"]),
    )
    def change_credentials(self, account: str, secret: str) -> None:
        self.world.put_credentials(account, {"client_id": account, "client_secret": secret})

    @rule(account=accounts, broken=st.sampled_from([b"\xff\xfe", b" \n", None]))
    def break_credentials(self, account: str, broken: bytes | None) -> None:
        data = {} if broken is None else {"client_secret": broken}
        self.world.put_credentials(account, {"client_id": account, **data})

    @rule(name=secrets | accounts)
    def delete_secret(self, name: str) -> None:
        self.world.delete_secret(name)

    @rule(name=secrets, damage=st.sampled_from(sorted(DAMAGE)))
    def damage(self, name: str, damage: str) -> None:
        self.world.patch_secret(name, DAMAGE[damage])

    @rule(name=secrets, metadata=st.sampled_from([{}, ALLOWED]))
    def put_in_the_way(self, name: str, metadata: dict[str, Any]) -> None:
        self.world.delete_secret(name)
        self.world.put_secret(name, {"foreign": encode("theirs")}, **metadata)

    @rule()
    def collect_garbage(self) -> None:
        self.world.collect_garbage()

    # Trouble

    @rule(mode=st.sampled_from([OK, OK, DOWN, *sorted(TROUBLES)]))
    def turn_endpoint(self, mode: str) -> None:
        self.world.endpoint.mode = mode

    @rule(lifetime=st.sampled_from([10, MINUTE, 5 * MINUTE, 30 * MINUTE]))
    def set_lifetime(self, lifetime: int) -> None:
        self.world.endpoint.lifetime = timedelta(seconds=lifetime)

    @rule(down=st.booleans())
    def cut(self, *, down: bool) -> None:
        self.world.link.down = down

    @rule(forbidden=st.booleans())
    def refuse_writes(self, *, forbidden: bool) -> None:
        self.world.link.forbidden = forbidden

    @rule(count=st.integers(0, 3))
    def lose_replies(self, count: int) -> None:
        self.world.link.lost = count

    @rule(count=st.integers(0, 6))
    def overtake_writes(self, count: int) -> None:
        self.world.link.raced = count

    @rule(
        count=st.integers(0, 8),
        name=names,
        what=st.sampled_from(
            ["delete", "replace", "suspend", "delete_target", "damage", "account"]
        ),
        wanted=specs,
    )
    def meanwhile(self, count: int, name: str, what: str, wanted: dict[str, Any]) -> None:
        """Let something happen amid what the operator does next."""
        actions: dict[str, Callable[[], None]] = {
            "delete": lambda: self.world.delete_resource(name),
            "replace": lambda: self.replace(name, wanted),
            "suspend": lambda: self.suspend(name, suspend=True),
            "delete_target": lambda: self.delete_secret(name),
            "damage": lambda: self.damage(name, "the token is another"),
            "account": lambda: self.change_credentials(CREDENTIALS[0], GOOD_SECRETS[1]),
        }
        self.world.link.meanwhile.append((count, actions[what]))

    @rule(compact=st.booleans())
    def break_watches(self, *, compact: bool) -> None:
        self.world.link.break_watches(compact=compact)

    @rule(deaf=st.booleans())
    def lose_events(self, *, deaf: bool) -> None:
        self.world.deaf = deaf

    @rule()
    def restart(self) -> None:
        self.world.crash()

    @rule(passing=seconds)
    def wait(self, passing: int) -> None:
        self.world.run(passing)

    @rule()
    def mend(self) -> None:
        self._mend()
        self.world.run(PATIENCE.total_seconds() + 1)

    def _mend(self) -> None:
        world = self.world
        world.endpoint.mode = OK
        world.link.down = world.link.forbidden = world.deaf = False
        world.link.lost = world.link.raced = 0
        world.link.meanwhile.clear()
        world.collect_garbage()

    # What holds

    @invariant()
    def nothing_is_wrong(self) -> None:
        world = self.world
        world.run()
        assert not world.faults
        now = world.now()
        resources = world.oracle.resources()
        heard = not world.deaf and now - world.unheard > timedelta(minutes=12)
        if heard and not world.link.down and world.link.watching:
            settled = [one for one in resources if one.metadata.uid in world.process.settled]
            assert not [fault for one in settled for fault in world.oracle.untruths(one)]
        if not world.troubled() and now - world.restless > PATIENCE:
            assert not [fault for one in resources for fault in world.oracle.wants(one)]
            assert not list(world.oracle.remains())
            assert not world.process.problems()

    def teardown(self) -> None:
        world = self.world
        try:
            self._calm_down()
            texts = {text: text for text in world.told}
            texts |= {one.metadata.name: str(one.status) for one in world.oracle.resources()}
            hidden = [*world.endpoint.issued, *GOOD_SECRETS, "a-wrong-client-secret"]
            assert not find_leaks(texts, hidden)
        finally:
            world.close()

    def _calm_down(self) -> None:
        """Nothing more happens: all becomes as it should be, with few requests, and then none."""
        world = self.world
        self._mend()
        for name in (*NAMES, SHARED):
            if (world.api.find(f"{SECRETS}/{name}") or {}).get("immutable"):
                world.delete_secret(name)  # as the status says
        world.endpoint.lifetime = timedelta(days=1)
        asked = len(world.link.asked)
        world.run(HOUR)
        self.nothing_is_wrong()
        assert len(world.link.asked) - asked <= 100 * len(NAMES)
        asked, tokens = len(world.link.asked), len(world.endpoint.issued)
        world.run(3 * HOUR)
        self.nothing_is_wrong()
        assert len(world.endpoint.issued) == tokens
        resources = world.oracle.resources()
        good = {one.metadata.name for one in resources if _is_good(one.status)}
        later = world.link.asked[asked:]
        assert not [
            path for _, path in later if path in {f"{TOKENS}/{name}/status" for name in good}
        ]
        if len(good) == len(resources):
            assert not later
        assert not [one for one in later if one[0] != "GET" and one[1].startswith(SECRETS)]


def _is_good(status: Mapping[str, Any]) -> bool:
    return all(one["status"] == "True" for one in status["conditions"])
