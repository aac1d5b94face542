"""One run from its first token to its report."""

import contextlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from pinecone_token_operator.api.access_token import GROUP, PLURAL, VERSION
from tests.chaos import leaders, place
from tests.chaos.convergence import problem
from tests.chaos.evidence import Evidence
from tests.chaos.exchanges import Exchange, tally
from tests.chaos.fairness import Fault, Key, blocked, overlap
from tests.chaos.judge import Report, crashes, judge_reads
from tests.chaos.kinds import API
from tests.chaos.people_faults import populate
from tests.chaos.place import LIFETIME, Place
from tests.chaos.plan import make_plan
from tests.chaos.plot import svg
from tests.chaos.population import client_id, make_members, users
from tests.chaos.report import to_json
from tests.chaos.runner import Runner, Say
from tests.chaos.settings import Settings
from tests.chaos.stubborn import ChaosError
from tests.support import wall_clock
from tests.support.api import KubeError

MARGIN = LIFETIME / 3
# The least age at which the schedule takes a token for due: its jitter is a tenth of the life.
_EARLIEST_REFRESH = LIFETIME - MARGIN - LIFETIME / 10 - 2

_FIRST_TOKENS_SECONDS = 90.0
_CONVERGED_WITHIN = 60.0
_PROGRESS_SECONDS = 10.0
_POLL_SECONDS = 0.5
_CLOCKS = frozenset({"clock: 5 min ahead", "clock: 5 min behind"})
_NO_KEY = ("", "")  # what concerns all concerns it too
_LEADERS_ENDS = ("operator: leader killed", "operator: leader terminated")


def run(settings: Settings, directory: Path, say: Say) -> Report:
    """Run, write `report.json` and `life.svg` beside the logs, and return the report.

    Args:
        settings: what the reader asked for.
        directory: for all files; empty.
        say: told each line of progress.

    Raises:
        ChaosError: the harness could not do its part.
    """
    left_out = frozenset() if wall_clock.can_be_set() else _CLOCKS
    members = make_members(settings.resources)
    plan = make_plan(settings.seed, settings.seconds, leave_out=left_out)
    with contextlib.ExitStack() as stack:
        say("Starting a control plane, a proxy before it, a token endpoint and two replicas.")
        here = stack.enter_context(place.opened(directory, members))
        populate(here, list(members))
        stack.enter_context(here.writes)
        stack.enter_context(here.holders)
        stack.enter_context(here.replicas)
        stack.enter_context(here.watcher)
        _wait_for_first_tokens(here)
        say(f"All {len(members)} resources have a token. {len(plan)} faults follow.")
        evidence = stack.enter_context(Evidence(here))
        runner = Runner(here, plan, settings.seed, _clocked(here, say))
        begun = here.seconds()
        stack.callback(runner.finish)
        runner.start()
        _watch(here, runner, _clocked(here, say))
        say("The last fault is over. Waiting until all is well.")
        ended = here.seconds()
        not_converged, after = _converge(here, ended)
        evidence.finish()
        seconds = here.seconds() - begun
    report = _report(here, settings, runner.made, evidence, seconds, not_converged, after, left_out)
    _write(report, here, directory)
    return report


def _clocked(here: Place, say: Say) -> Say:
    def clocked(line: str) -> None:
        minutes, seconds = divmod(int(here.seconds()), 60)
        say(f"{minutes:02}:{seconds:02}  {line}")

    return clocked


def _wait_for_first_tokens(here: Place) -> None:
    deadline = time.monotonic() + _FIRST_TOKENS_SECONDS
    while here.watcher.served < len(here.members):
        if time.monotonic() > deadline:
            raise ChaosError(
                f"Only {here.watcher.served} of {len(here.members)} resources got a token."
            )
        time.sleep(_POLL_SECONDS)


def _watch(here: Place, runner: Runner, say: Say) -> None:
    """Wait for the end of the plan, and tell now and then how it goes."""
    told = time.monotonic()
    while runner.running:
        time.sleep(_POLL_SECONDS)
        if time.monotonic() - told >= _PROGRESS_SECONDS:
            told = time.monotonic()
            samples = here.watcher.samples
            least = samples[-1].least if samples else None
            life = "unknown" if least is None else f"{least:.0f} s"
            say(
                f"  least life {life}, {len(here.watcher.expired)} expired looks, "
                f"{here.endpoint.exchanges} exchanges, leader {here.writes.leader or 'none'}, "
                f"{len(runner.made)} faults over, now: {', '.join(runner.current) or 'none'}"
            )
    if runner.failure:
        raise ChaosError(f"A fault could not be made: {runner.failure!r}")


def _converge(here: Place, since: float) -> tuple[dict[str, str], float | None]:
    """Wait until all is well; return what is not, by resource, and how long it took."""
    while True:
        problems = _problems(here)
        after = here.seconds() - since
        if not problems:
            return {}, after
        if after > _CONVERGED_WITHIN:
            return problems, None
        time.sleep(_POLL_SECONDS)


def _problems(here: Place) -> dict[str, str]:
    try:
        resources = _by_key(here, f"/apis/{GROUP}/{VERSION}/{PLURAL}")
        secrets = _by_key(here, "/api/v1/secrets")
    except (httpx.HTTPError, KubeError) as error:
        return {"the API server": f"does not answer ({type(error).__name__})"}
    now = time.monotonic()
    found = {}
    for member in here.members:
        wrong = problem(
            member,
            resources.get(member.key),
            secrets.get(member.key),
            here.endpoint.issued,
            here.accounts.rotated_at(member.account_key),
            now,
            time.time() - now,
        )
        if wrong:
            found["/".join(member.key)] = wrong
    return found


def _by_key(here: Place, path: str) -> dict[Key, Mapping[str, Any]]:
    items = (here.kube.get(path) or {}).get("items", ())
    return {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in items}


def _report(
    here: Place,
    settings: Settings,
    faults: Sequence[Fault],
    evidence: Evidence,
    seconds: float,
    not_converged: Mapping[str, str],
    converged_after: float | None,
    left_out: frozenset[str],
) -> Report:
    held = leaders.tenures(here.writes.writes)
    ends = here.replicas.ends
    return Report(
        seed=settings.seed,
        resources=len(here.members),
        replicas=len(here.replicas.all),
        lifetime=LIFETIME,
        margin=MARGIN,
        seconds=seconds,
        left_out=sorted(left_out),
        faults=sorted(faults, key=lambda fault: fault.began),
        least_life=here.watcher.least,
        reads=judge_reads(here.watcher.expired, faults, MARGIN),
        damaged_reads=here.watcher.damaged,
        overstated_reads=here.watcher.overstated,
        overstatement=here.watcher.overstatement,
        latest_look=here.watcher.late,
        exchanges=here.endpoint.exchanges,
        tally=tally(
            _exchanges(here), faults, [end.at - here.start for end in ends], _EARLIEST_REFRESH
        ),
        not_converged=not_converged,
        converged_after=converged_after,
        fail_overs=_fail_overs(faults, held),
        strays=leaders.strays(here.writes.writes, held),
        ends=ends,
        crashes=crashes(ends, faults, here.start),
        leaks=sorted(evidence.leaks),
        strayed=here.endpoint.strayed,
        logged_errors=_logged_errors(here),
    )


def _exchanges(here: Place) -> list[Exchange]:
    by_client = {client_id(key): keys for key, keys in users(here.members).items()}
    return [
        Exchange(
            at=issue.issued_at - here.start,
            key=here.holders.by_token.get(token),
            users=by_client[issue.client_id],
        )
        for token, issue in here.endpoint.issued.items()
    ]


def _fail_overs(faults: Sequence[Fault], held: Sequence[leaders.Tenure]) -> dict[str, list[float]]:
    found = defaultdict(list)
    outages = blocked((one for one in faults if one.kind.lane in API), _NO_KEY)
    for fault in faults:
        if fault.kind.name in _LEADERS_ENDS:
            took = leaders.fail_over(held, fault.began)
            if took is not None:
                away = overlap(outages, fault.began, fault.began + took)
                found[fault.kind.name].append(took - away)
    return dict(found)


def _logged_errors(here: Place) -> dict[str, int]:
    messages: Counter[str] = Counter()
    for replica in here.replicas.all:
        for line in replica.operator.errors():
            try:
                messages[str(json.loads(line)["message"])[:120]] += 1
            except (ValueError, KeyError, TypeError):
                messages[line[:120]] += 1
    return dict(messages.most_common(10))


def _write(report: Report, here: Place, directory: Path) -> None:
    (directory / "report.json").write_text(json.dumps(to_json(report), indent=2) + "\n", "utf-8")
    title = f"Chaos, seed {report.seed}, {report.resources} resources"
    picture = svg(here.watcher.samples, report.faults, LIFETIME, MARGIN, title)
    (directory / "life.svg").write_text(picture, "utf-8")
