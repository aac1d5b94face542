"""One run, from the first token to the report."""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.analysis import report
from tests.chaos.analysis.convergence import fleet_problem, problem
from tests.chaos.analysis.plot import svg
from tests.chaos.analysis.verdict import Verdict, judge
from tests.chaos.environment import LIFETIME, Environment, open_environment
from tests.chaos.faults.catalog import SELECTED_ONLY
from tests.chaos.faults.namespaces import compare_unselected, populate_fleets
from tests.chaos.faults.plan import make_plan
from tests.chaos.faults.runner import Runner, Say
from tests.chaos.faults.users import populate
from tests.chaos.population import client_id, make_members, users
from tests.chaos.promises import CONVERGENCE
from tests.chaos.records import Exchange, Fault, Key, Recording
from tests.chaos.retry import ChaosError
from tests.chaos.settings import Settings
from tests.support import wall_clock
from tests.support.api import KubeError
from tests.support.documented import CLUSTER_PLURAL, GROUP, PLURAL, VERSION

MARGIN = LIFETIME / 3

_FIRST_TOKENS_SECONDS = 90.0
_PROGRESS_SECONDS = 10.0
_POLL_SECONDS = 0.5
_CLOCKS = frozenset({"clock: 5 min ahead", "clock: 5 min behind"})


def run(settings: Settings, directory: Path, say: Say) -> Verdict:
    """Run, write `report.json` and `lifetimes.svg` beside the logs, and return the verdict.

    Args:
        settings: of the run.
        directory: for all files; empty.
        say: called with each line of progress.

    Raises:
        ChaosError: the harness could not inject a fault.
    """
    left_out = frozenset() if wall_clock.can_be_set() else _CLOCKS
    if not settings.selected:
        left_out |= SELECTED_ONLY
    members = make_members(settings.resources)
    plan = make_plan(settings.seed, settings.seconds, leave_out=left_out)
    with contextlib.ExitStack() as stack:
        say("Starting a control plane behind a proxy, a token endpoint and two replicas.")
        env = stack.enter_context(open_environment(directory, members, selected=settings.selected))
        populate(env, list(members))
        populate_fleets(env)
        for part in (env.write_log, env.target_writes, env.replicas, env.reader):
            stack.enter_context(part)
        _wait_for_first_tokens(env)
        say(f"All {len(members)} resources and all copies have a token.")
        say(f"Injecting {len(plan)} faults.")
        stack.enter_context(env.leak_scanner)
        runner = Runner(env, plan, settings.seed, _clocked(env, say))
        began = env.seconds()
        stack.callback(runner.finish)
        runner.start()
        _wait_for_plan(env, runner, _clocked(env, say))
        say("The last fault is over. Waiting until every resource has recovered.")
        not_converged, after = _converge(env, env.seconds())
        compare_unselected(env)
        env.leak_scanner.scan_logs()
        seconds = env.seconds() - began
    verdict = judge(
        _record(env, settings, runner.injected, seconds, not_converged, after, left_out)
    )
    _write(verdict, directory)
    return verdict


def _clocked(env: Environment, say: Say) -> Say:
    def clocked(line: str) -> None:
        minutes, seconds = divmod(int(env.seconds()), 60)
        say(f"{minutes:02}:{seconds:02}  {line}")

    return clocked


def _wait_for_first_tokens(env: Environment) -> None:
    deadline = time.monotonic() + _FIRST_TOKENS_SECONDS
    targets = len(env.members) + sum(len(fleet.copies) for fleet in env.fleets)
    while env.reader.served < targets:
        if time.monotonic() > deadline:
            raise ChaosError(f"Only {env.reader.served} of {targets} targets got a token.")
        time.sleep(_POLL_SECONDS)


def _wait_for_plan(env: Environment, runner: Runner, say: Say) -> None:
    """Wait for the end of the plan and report progress meanwhile."""
    reported = time.monotonic()
    while runner.running:
        time.sleep(_POLL_SECONDS)
        if time.monotonic() - reported >= _PROGRESS_SECONDS:
            reported = time.monotonic()
            samples = env.reader.samples
            shortest = samples[-1].minimum if samples else None
            lifetime = "unknown" if shortest is None else f"{shortest:.0f} s"
            say(
                f"  shortest lifetime {lifetime}, {len(env.reader.expired)} expired reads, "
                f"{env.endpoint.exchanges} exchanges, leader {env.write_log.leader or 'none'}, "
                f"{len(runner.injected)} faults over, now: {', '.join(runner.current) or 'none'}"
            )
    if runner.failure:
        raise ChaosError(f"A fault could not be injected: {runner.failure!r}")


def _converge(env: Environment, since: float) -> tuple[dict[str, str], float | None]:
    """Wait until nothing is wrong; return what still is, by resource, and how long it took."""
    while True:
        problems = _problems(env)
        after = env.seconds() - since
        if not problems:
            return {}, after
        if after > CONVERGENCE:
            return problems, None
        time.sleep(_POLL_SECONDS)


def _problems(env: Environment) -> dict[str, str]:
    try:
        resources = _by_key(env, f"/apis/{GROUP}/{VERSION}/{PLURAL}")
        shared = _by_key(env, f"/apis/{GROUP}/{VERSION}/{CLUSTER_PLURAL}")
        secrets = _by_key(env, "/api/v1/secrets")
    except (httpx.HTTPError, KubeError) as error:
        return {"the API server": f"does not respond ({type(error).__name__})"}
    now = time.monotonic()
    found = {}
    for member in env.members:
        wrong = problem(
            member,
            resources.get(member.key),
            secrets.get(member.key),
            env.endpoint.issued,
            env.accounts.rotated_at(member.account_key),
            now,
            time.time() - now,
        )
        if wrong:
            found["/".join(member.key)] = wrong
    for fleet in env.fleets:
        wrong = fleet_problem(
            fleet,
            shared.get(fleet.key),
            secrets,
            env.endpoint.issued,
            env.accounts.rotated_at(fleet.account_key),
            now,
        )
        if wrong:
            found[fleet.name] = wrong
    return found


def _by_key(env: Environment, path: str) -> dict[Key, Mapping[str, Any]]:
    items = (env.kube.get(path) or {}).get("items", ())
    return {
        (item["metadata"].get("namespace", ""), item["metadata"]["name"]): item for item in items
    }


def _record(
    env: Environment,
    settings: Settings,
    faults: Sequence[Fault],
    seconds: float,
    not_converged: Mapping[str, str],
    converged_after: float | None,
    left_out: frozenset[str],
) -> Recording:
    reader = env.reader
    return Recording(
        seed=settings.seed,
        resources=len(env.members),
        replicas=len(env.replicas.all),
        lifetime=LIFETIME,
        margin=MARGIN,
        seconds=seconds,
        scope="the listed namespaces" if settings.selected else "all namespaces",
        left_out=sorted(left_out),
        faults=sorted(faults, key=lambda fault: fault.began),
        samples=reader.samples,
        minimum_lifetime=reader.minimum,
        expired_reads=reader.expired,
        damaged_reads=reader.damaged,
        overstated_reads=reader.overstated,
        overstatement=reader.overstatement,
        max_read_delay=reader.max_delay,
        issued=env.endpoint.exchanges,
        exchanges=_exchanges(env),
        writes=env.write_log.writes,
        targets=frozenset(env.target_writes.changes) | env.witness.claimed,
        fights=env.witness.fights,
        belongings=env.witness.belongings,
        claims=env.witness.claims,
        copies={
            fleet.key: {copy: env.target_writes.changes[copy] for copy in fleet.copies}
            for fleet in env.fleets
        },
        unlabellings=env.witness.unlabellings,
        requests=env.witness.requests,
        exits=env.replicas.exits,
        start=env.start,
        not_converged=not_converged,
        converged_after=converged_after,
        leaks=sorted(env.leak_scanner.leaks),
        redirects_followed=env.endpoint.strayed,
        logged_errors=_logged_errors(env),
    )


def _exchanges(env: Environment) -> list[Exchange]:
    by_client = {client_id(key): keys for key, keys in users(env.members, env.fleets).items()}
    return [
        Exchange(
            at=issue.issued_at - env.start,
            key=env.target_writes.by_token.get(token),
            users=by_client[issue.client_id],
        )
        for token, issue in env.endpoint.issued.items()
    ]


def _logged_errors(env: Environment) -> dict[str, int]:
    messages: Counter[str] = Counter()
    for replica in env.replicas.all:
        for line in replica.operator.errors():
            try:
                messages[str(json.loads(line)["message"])[:120]] += 1
            except (ValueError, KeyError, TypeError):
                messages[line[:120]] += 1
    return dict(messages.most_common(10))


def _write(verdict: Verdict, directory: Path) -> None:
    text = json.dumps(report.to_json(verdict), indent=2) + "\n"
    (directory / "report.json").write_text(text, "utf-8")
    run = verdict.run
    title = f"Chaos, seed {run.seed}, {run.resources} resources"
    picture = svg(run.samples, run.faults, run.lifetime, run.margin, title)
    (directory / "lifetimes.svg").write_text(picture, "utf-8")
