"""A state machine that leads the operator through any sequence of events chosen by hypothesis."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.life.endpoint import DOWN, FAILURES, GOOD_SECRETS, OK
from tests.life.paths import SECRETS, TOKENS
from tests.life.small_api import Call
from tests.life.world import World
from tests.support import documented
from tests.support.encoding import encode
from tests.support.leaks import find_leaks

NAMES = ("a", "b")
SHARED = "shared"
ACCOUNTS = ("one", "two")
BAD_SECRET = "a-wrong-client-secret"
MINUTE, HOUR = 60, 3600
# The longest backoff is 15 min plus a tenth, and the next resync is at most 11 min away.
PATIENCE = timedelta(minutes=20)

names = st.sampled_from(NAMES)
secrets = st.sampled_from([*NAMES, SHARED])
accounts = st.sampled_from(ACCOUNTS)
seconds = st.sampled_from([1, 7, MINUTE, 5 * MINUTE, 21 * MINUTE, HOUR, 5 * HOUR])
OTHER_OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "a11"}
ALLOWED = {"annotations": {documented.ALLOW_MERGE: "true"}}
FAR_FUTURE = "2036-01-01T00:00:00Z"
TAMPERING: dict[str, Mapping[str, Any]] = {
    "another token": {"data": {"access_token": encode("not a token")}},
    "no token": {"data": {"access_token": None}},
    "another value": {"data": {"token_type": encode("mac")}},
    "an additional key": {"data": {"foreign": encode("theirs")}},
    "no annotations": {"metadata": {"annotations": None}},
    "a later expiry": {"metadata": {"annotations": {documented.EXPIRES_AT: FAR_FUTURE}}},
    "a later refresh": {"metadata": {"annotations": {documented.REFRESH_AT: FAR_FUTURE}}},
    "another checksum": {"metadata": {"annotations": {documented.CHECKSUM: 32 * "0"}}},
    "another source": {"metadata": {"annotations": {documented.CREDENTIALS_SOURCE: 32 * "0"}}},
    "no source": {"metadata": {"annotations": {documented.CREDENTIALS_SOURCE: None}}},
    "other credentials": {"metadata": {"annotations": {documented.CREDENTIALS: 32 * "0"}}},
    "an invalid refresh time": {"metadata": {"annotations": {documented.REFRESH_AT: "soon"}}},
    "invalid managed names": {"metadata": {"annotations": {documented.MANAGED: "[[["}}},
    "merging allowed": {"metadata": ALLOWED},
    "merging disallowed": {"metadata": {"annotations": {documented.ALLOW_MERGE: None}}},
    "no labels": {"metadata": {"labels": None}},
    "no owner": {"metadata": {"ownerReferences": None}},
    "another owner": {"metadata": {"ownerReferences": [OTHER_OWNER]}},
    "no metadata": {"metadata": {"ownerReferences": None, "labels": None, "annotations": None}},
    "immutable": {"immutable": True},
}


def spec(
    creation: str, deletion: str, account: str, target: str | None, before: str | None
) -> dict[str, Any]:
    """Return a spec with every default filled in, as the API server would store it."""
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
        "target": {**wanted, **({"name": target} if target else {})},
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


class Simulation(RuleBasedStateMachine):
    """One operator, two resources, and everyone else.

    Args:
        called: called with each request to the API server and its response.
    """

    # Hypothesis derives its examples from the signature, so that no default may have an address.
    def __init__(self, called: Callable[[Call], None] | None = None) -> None:
        super().__init__()
        self.world = World(called=called)
        for name, secret in zip(ACCOUNTS, GOOD_SECRETS, strict=True):
            self.world.put_credentials(name, {"client_id": name, "client_secret": secret})
        self.world.run()

    @initialize(wanted=st.lists(specs, max_size=2))
    def begin(self, wanted: list[dict[str, Any]]) -> None:
        for name, one in zip(NAMES, wanted, strict=False):
            self.world.create_resource(name, one)

    # Resources

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
        secret=st.sampled_from([*GOOD_SECRETS, GOOD_SECRETS[0] + "\n", BAD_SECRET]),
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

    @rule(name=secrets, how=st.sampled_from(sorted(TAMPERING)))
    def tamper(self, name: str, how: str) -> None:
        self.world.patch_secret(name, TAMPERING[how])

    @rule(name=secrets, metadata=st.sampled_from([{}, ALLOWED]))
    def replace_secret(self, name: str, metadata: dict[str, Any]) -> None:
        self.world.delete_secret(name)
        self.world.put_secret(name, {"foreign": encode("theirs")}, **metadata)

    @rule()
    def collect_garbage(self) -> None:
        self.world.collect_garbage()

    # Disturbances

    @rule(mode=st.sampled_from([OK, OK, DOWN, *sorted(FAILURES)]))
    def set_endpoint_mode(self, mode: str) -> None:
        self.world.endpoint.mode = mode

    @rule(lifetime=st.sampled_from([10, MINUTE, 5 * MINUTE, 30 * MINUTE]))
    def set_lifetime(self, lifetime: int) -> None:
        self.world.endpoint.lifetime = timedelta(seconds=lifetime)

    @rule(down=st.booleans())
    def cut_connection(self, *, down: bool) -> None:
        self.world.connection.down = down

    @rule(forbidden=st.booleans())
    def refuse_writes(self, *, forbidden: bool) -> None:
        self.world.connection.forbidden = forbidden

    @rule(count=st.integers(0, 3))
    def lose_replies(self, count: int) -> None:
        self.world.connection.lost_replies = count

    @rule(count=st.integers(0, 6))
    def overtake_writes(self, count: int) -> None:
        self.world.connection.overtaken = count

    @rule(
        count=st.integers(0, 8),
        name=names,
        what=st.sampled_from(
            ["delete", "replace", "suspend", "delete_target", "tamper", "account"]
        ),
        wanted=specs,
    )
    def interleave(self, count: int, name: str, what: str, wanted: dict[str, Any]) -> None:
        """Let something happen between the operator's next requests."""
        actions: dict[str, Callable[[], None]] = {
            "delete": lambda: self.world.delete_resource(name),
            "replace": lambda: self.replace(name, wanted),
            "suspend": lambda: self.suspend(name, suspend=True),
            "delete_target": lambda: self.delete_secret(name),
            "tamper": lambda: self.tamper(name, "another token"),
            "account": lambda: self.change_credentials(ACCOUNTS[0], GOOD_SECRETS[1]),
        }
        self.world.connection.interleaved.append((count, actions[what]))

    @rule(compact=st.booleans())
    def break_watches(self, *, compact: bool) -> None:
        self.world.connection.break_watches(compact=compact)

    @rule(lost=st.booleans())
    def lose_events(self, *, lost: bool) -> None:
        self.world.events_lost = lost

    @rule()
    def restart(self) -> None:
        self.world.crash()

    @rule(account=accounts, secret=st.sampled_from([*GOOD_SECRETS, BAD_SECRET, None]))
    def change_credentials_while_none_runs(self, account: str, secret: str | None) -> None:
        def change() -> None:
            if secret is None:
                self.world.delete_secret(account)
            else:
                data = {"client_id": account, "client_secret": secret}
                self.world.put_credentials(account, data)

        self.world.crash(change)

    @rule(passing=seconds)
    def wait(self, passing: int) -> None:
        self.world.run(passing)

    @rule()
    def recover(self) -> None:
        self._end_disturbances()
        self.world.run(PATIENCE.total_seconds() + 1)

    def _end_disturbances(self) -> None:
        world = self.world
        world.endpoint.mode = OK
        world.connection.down = world.connection.forbidden = world.events_lost = False
        world.connection.lost_replies = world.connection.overtaken = 0
        world.connection.interleaved.clear()
        world.collect_garbage()

    # What holds

    @invariant()
    def promises_hold(self) -> None:
        world = self.world
        world.run()
        assert not world.violations
        resources = world.oracle.resources()
        up_to_date = not world.events_lost and not world.may_have_missed_events()
        if up_to_date and not world.connection.down and world.connection.watching:
            settled = [one for one in resources if one.uid in world.process.settled]
            assert not [fault for one in settled for fault in world.oracle.untruths(one)]
        if not world.is_disturbed() and world.now() - world.disturbed_at > PATIENCE:
            assert not [fault for one in resources for fault in world.oracle.shortcomings(one)]
            assert not list(world.oracle.leftovers())
            assert not world.process.problems()

    def teardown(self) -> None:
        world = self.world
        try:
            self._converges()
            texts = {text: text for text in world.output}
            texts |= {one.name: str(one.status) for one in world.oracle.resources()}
            hidden = [*world.endpoint.issued, *GOOD_SECRETS, BAD_SECRET]
            assert not find_leaks(texts, hidden)
        finally:
            world.close()

    def _converges(self) -> None:
        """Check that, undisturbed, everything becomes right with few requests, then with none."""
        world = self.world
        self._end_disturbances()
        for name in (*NAMES, SHARED):
            if (world.api.find(f"{SECRETS}/{name}") or {}).get("immutable"):
                world.delete_secret(name)  # as the status advises
        world.endpoint.lifetime = timedelta(days=1)
        before = len(world.connection.requests)
        world.run(HOUR)
        self.promises_hold()
        assert len(world.connection.requests) - before <= 100 * len(NAMES)
        before, issued = len(world.connection.requests), len(world.endpoint.issued)
        world.run(3 * HOUR)
        self.promises_hold()
        assert len(world.endpoint.issued) == issued
        resources = world.oracle.resources()
        good = {one.name for one in resources if _is_good(one.conditions)}
        later = world.connection.requests[before:]
        assert not [
            path for _, path in later if path in {f"{TOKENS}/{name}/status" for name in good}
        ]
        if len(good) == len(resources):
            assert not later
        assert not [one for one in later if one[0] != "GET" and one[1].startswith(SECRETS)]


def _is_good(conditions: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(conditions[type_]["status"] == "True" for type_ in conditions)
