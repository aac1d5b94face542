"""Microbenchmarks of the pure core and of the two clients.

    make bench-micro

MICRO_OPTIONS are passed to pyperf, for example --rigorous. The clients call an API server and a
token endpoint without latency on this machine: they are measured in wall-clock time, which includes
both servers.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyperf  # type: ignore[import-untyped]  # it has no types

from pinecone_token_operator.api.access_token import parse_resource
from pinecone_token_operator.config.settings import Endpoint
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth_client import TokenClient
from pinecone_token_operator.kube import client
from pinecone_token_operator.policies.token_chain import plan_token
from pinecone_token_operator.reconcilers.status import make_report
from pinecone_token_operator.reconcilers.status_writer import status_patch
from pinecone_token_operator.targets.secret import content_patch, desire
from pinecone_token_operator.targets.target import read_target, stored_token
from tests.bench import objects
from tests.bench.environment import environment
from tests.support.api import secret_path
from tests.support.builders import (
    UID,
    after,
    make_known,
    make_outcome,
    make_secret,
    make_spec,
    make_token,
    make_token_input,
    make_wanted,
    raw_resource,
)

_ADDRESSES = ("MICRO_KUBECONFIG", "MICRO_TOKEN_URL", "MICRO_CA_BUNDLE")
_WARM_UP = 10


def main() -> None:
    """Start the servers that the clients call, and run this module again under pyperf."""
    if all(name in os.environ for name in _ADDRESSES):
        measure(pyperf.Runner(program_args=("-m", "tests.bench.micro")))
        return
    with environment(latency=0) as env:
        objects.create_credentials(env.cluster, ["micro"])
        values = (str(env.cluster.kubeconfig), env.endpoint.url, str(env.endpoint.ca_bundle))
        command = [sys.executable, "-m", "tests.bench.micro"]
        command += [f"--inherit-environ={','.join(_ADDRESSES)}"]
        command += os.environ.get("MICRO_OPTIONS", "--fast --quiet").split()
        environ = os.environ | dict(zip(_ADDRESSES, values, strict=True))
        subprocess.run(command, check=True, env=environ)


def measure(runner: pyperf.Runner) -> None:
    spec, token, secret = make_spec(), make_token(), make_secret()
    raw = raw_resource()
    target, wanted, known = read_target(secret), make_wanted(), make_known()
    given, desired = make_token_input(), desire(spec, make_token(access_token="another"))
    outcome = make_outcome(known, after(minutes=1))
    status = make_report(outcome, wanted, after()).status({})
    runner.bench_func("parse a resource", parse_resource, raw)
    runner.bench_func("verify a stored token", lambda: stored_token(read_target(secret), UID))
    runner.bench_func("plan a token that is not due", plan_token, given, after(minutes=1))
    runner.bench_func("plan a token that is due", plan_token, given, after(minutes=21))
    runner.bench_func("evaluate a resource", make_outcome, known, after(minutes=1))
    runner.bench_func("compute a desired target", desire, spec, token)
    runner.bench_func("compare a target with it", content_patch, target, desired)
    report = make_report(outcome, wanted, after(minutes=1))
    runner.bench_func("report a resource", make_report, outcome, wanted, after(minutes=1))
    runner.bench_func("compute a status", report.status, status)
    runner.bench_func("compare two statuses", status_patch, status, dict(status), UID)
    runner.bench_time_func("read a Secret", _timed(_reader))
    runner.bench_time_func("request a token", _timed(_issuer))


Client = tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[None]]]
"""The call to measure, and the one that closes the client."""


def _timed(make: Callable[[], Awaitable[Client]]) -> Callable[[int], float]:
    async def run(loops: int) -> float:
        act, close = await make()
        for _ in range(_WARM_UP):
            await act()
        started = time.perf_counter()
        for _ in range(loops):
            await act()
        took = time.perf_counter() - started
        await close()
        return took

    return lambda loops: asyncio.run(run(loops))


async def _reader() -> Client:
    api = await client.connect(Path(os.environ["MICRO_KUBECONFIG"]), None)
    path = secret_path(objects.NAMESPACE, objects.account("micro"))
    return lambda: api.request("GET", path), api.aclose


async def _issuer() -> Client:
    client = TokenClient(
        Endpoint(
            os.environ["MICRO_TOKEN_URL"],
            "https://api.pinecone.io/",
            "2025-04",
            Path(os.environ["MICRO_CA_BUNDLE"]),
        ),
        1,
        lambda: datetime.now(UTC),
        request_timeout=timedelta(seconds=10),
    )
    credentials = Credentials("id", "secret")
    return lambda: client.issue(credentials), client.aclose


if __name__ == "__main__":
    main()
