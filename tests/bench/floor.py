"""The baseline: the requests of a refresh and nothing else, in a plain loop, by the same clients.

One GET and two PATCHes by the operator's API client, one POST by httpx. It runs as a program of its
own, so that its processor time can be measured:

    python -m tests.bench.floor KUBECONFIG TOKEN_URL CA_BUNDLE ROUNDS
"""

import asyncio
import json
import random
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import httpx

from pinecone_token_operator.kube import client
from pinecone_token_operator.kube.media_types import JSON_PATCH, MERGE_PATCH
from tests.bench import objects
from tests.bench.environment import Environment
from tests.bench.progress import say
from tests.support.api import secret_path, token_path
from tests.support.documented import CHECKSUM, EXPIRES_AT, PREFIX, REFRESH_AT, REFRESHED_AT
from tests.support.encoding import encode

_ACCOUNT: Final = secret_path(objects.NAMESPACE, objects.account("floor"))
_TARGET: Final = secret_path(objects.NAMESPACE, objects.token("floor"))
_STATUS: Final = token_path(objects.NAMESPACE, objects.token("floor")) + "/status"
_ROUNDS = 400
_WARM_UP = 20


def measure(env: Environment) -> float:
    """Return the processor time of the requests of one refresh, in milliseconds."""
    say(f"sending the same requests in a plain loop, {_ROUNDS} times")
    objects.create_resources(env.cluster, ["floor"])
    env.kube.create(
        secret_path(objects.NAMESPACE),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": objects.token("floor"),
                "labels": _target(0)["metadata"]["labels"],
            },
        },
    )
    command = [sys.executable, "-m", "tests.bench.floor", str(env.cluster.kubeconfig)]
    command += [env.endpoint.url, str(env.endpoint.ca_bundle), str(_ROUNDS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600)
    env.kube.delete(_STATUS.removesuffix("/status"))
    env.kube.delete(_TARGET)
    return float(json.loads(done.stdout)["milliseconds"])


async def _loop(kubeconfig: Path, token_url: str, ca_bundle: Path, rounds: int) -> float:
    trust = ssl.create_default_context(cafile=ca_bundle)
    async with (
        aclosing(await client.connect(kubeconfig, None)) as api,
        httpx.AsyncClient(verify=trust) as tokens,
    ):
        started = 0.0
        for number in range(_WARM_UP + rounds):
            if number == _WARM_UP:
                started = time.process_time()
            await api.request("GET", _ACCOUNT)
            reply = await tokens.post(token_url, json=_credentials())
            reply.raise_for_status()
            target, status = _target(number), _status(number)
            encoded = encode(reply.json()["access_token"])
            target["data"]["access_token"] = encoded
            await api.request("PATCH", _TARGET, body=target, content_type=MERGE_PATCH)
            await api.request("PATCH", _STATUS, body=status, content_type=JSON_PATCH)
        return (time.process_time() - started) / rounds


def _credentials() -> Mapping[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": objects.client_id("floor"),
        "client_secret": "secret-floor-" + 48 * "x",
        "audience": "https://api.pinecone.io/",
    }


def _target(number: int) -> dict[str, Any]:
    """Return a patch as long as the operator's."""
    time_text = f"2026-01-01T00:{number // 60 % 60:02d}:{number % 60:02d}Z"
    digits = f"{random.getrandbits(128):032x}"
    times = dict.fromkeys((EXPIRES_AT, REFRESH_AT, REFRESHED_AT), time_text)
    return {
        "metadata": {
            "labels": {f"{PREFIX}floor": "true"},
            "annotations": {**times, CHECKSUM: digits},
        },
        "data": {"expires_at": "MjAyNi0wMS0wMVQwMDowMDowMFo="},
    }


def _status(number: int) -> list[dict[str, Any]]:
    """Return a patch as long as the operator's."""
    time_text = f"2026-01-01T00:{number // 60 % 60:02d}:{number % 60:02d}Z"
    condition = {
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    ready = f"the token in the Secret token-floor is valid until {time_text}"
    refreshed = f"the token was fetched at {time_text}"
    status = {
        **dict.fromkeys(("expiresAt", "lastRefreshAt", "refreshAt"), time_text),
        "conditions": [
            {"type": "Ready", "reason": "TokenValid", "message": ready, **condition},
            {"type": "Refreshed", "reason": "Succeeded", "message": refreshed, **condition},
        ],
    }
    return [
        {"op": "test", "path": "/metadata/name", "value": objects.token("floor")},
        {"op": "add", "path": "/status", "value": status},
    ]


def main() -> None:
    kubeconfig, token_url, ca_bundle, rounds = sys.argv[1:]
    used = asyncio.run(_loop(Path(kubeconfig), token_url, Path(ca_bundle), int(rounds)))
    print(json.dumps({"milliseconds": used * 1000}))


if __name__ == "__main__":
    main()
