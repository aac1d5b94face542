"""The command `check`, which `helm test` runs: bad credentials get a status that says so.

It shows that the operator sees resources, reads Secrets and tells what it found; where asked to,
also that it reaches the token endpoint, which has to reject credentials that are made up here. What
it makes it deletes again, whatever comes of it.
"""

import argparse
import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pinecone_token_operator.api.access_token import GROUP, KIND, PLURAL, VERSION
from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.config import flags
from pinecone_token_operator.errors import ApiError, CheckFailed, OperatorError
from pinecone_token_operator.kube import client
from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.reconcilers.gather import secret_path
from pinecone_token_operator.reconcilers.status import READY, REFRESHED

PASSED, FAILED = 0, 1

_NOT_FOUND: Final = 404
_POLL_SECONDS: Final = 0.5
_MADE_UP: Final = "made-up-by-pinecone-token-operator-check"


def run(argv: Sequence[str]) -> int:
    """Check the installation, tell what was seen, and return the exit code.

    Raises:
        SettingsInvalid: an argument cannot be used.
    """
    options = _parser().parse_args(argv)
    try:
        asyncio.run(_run(options))
    except OperatorError as error:
        _say(f"FAILED: {error}")
        return FAILED
    _say("passed")
    return PASSED


async def _run(options: argparse.Namespace) -> None:
    api = await client.connect(options.kubeconfig, None)
    try:
        check = Check(api, options.namespace, options.name, options.timeout, _say)
        await check.run(ask_token_endpoint=options.ask_token_endpoint)
    finally:
        await api.aclose()


class Check:
    """One check, with a resource and a credentials Secret of its own.

    Args:
        api: the API server.
        namespace: where both are made; the operator must serve it.
        name: the resource's; the Secret's is made from it.
        timeout: seconds that each status may take.
        say: told each step that passed.
    """

    def __init__(
        self, api: Requests, namespace: str, name: str, timeout: float, say: Callable[[str], None]
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._secret = f"{name}-credentials"
        self._timeout = timeout
        self._say = say

    async def run(self, *, ask_token_endpoint: bool) -> None:
        """Check, then clean up.

        Raises:
            CheckFailed: a status did not come, or is not what it should be.
            ApiError: the API server refused or did not answer.
        """
        await self._clean_up()  # an earlier check may have been cut off
        try:
            await self._create_without_client_secret()
            await self._expect(READY, Reason.CREDENTIALS_INVALID)
            if ask_token_endpoint:
                await self._complete_credentials()
                await self._expect(REFRESHED, Reason.REJECTED)
        finally:
            await self._clean_up()

    async def _create_without_client_secret(self) -> None:
        await self._api.request(
            "POST",
            secret_path(self._namespace),
            body={
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": self._secret},
                "stringData": {"client_id": _MADE_UP},
            },
        )
        await self._api.request(
            "POST",
            self._resource_path(""),
            body={
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "metadata": {"name": self._name},
                "spec": {"credentialsSecretRef": {"name": self._secret}},
            },
        )

    async def _complete_credentials(self) -> None:
        await self._api.request(
            "PATCH",
            secret_path(self._namespace, self._secret),
            body={"stringData": {"client_secret": _MADE_UP}},
            content_type="application/merge-patch+json",
        )

    async def _expect(self, kind: str, reason: Reason) -> None:
        """Wait for a condition that is False for this reason."""
        condition: Mapping[str, Any] = {}
        try:
            async with asyncio.timeout(self._timeout):
                while condition.get("reason") != reason:
                    await asyncio.sleep(_POLL_SECONDS)
                    condition = await self._condition(kind)
        except TimeoutError:
            raise CheckFailed(self._too_late(kind, reason, condition)) from None
        self._say(f"{kind} is {condition['status']}, {reason}: {condition['message']}")

    async def _condition(self, kind: str) -> Mapping[str, Any]:
        resource = await self._api.request("GET", self._resource_path(self._name))
        found: list[dict[str, Any]] = resource.get("status", {}).get("conditions", [])
        return next((each for each in found if each["type"] == kind), {})

    def _too_late(self, kind: str, reason: Reason, condition: Mapping[str, Any]) -> str:
        expected = f"{kind} did not become False with the reason {reason} in {self._timeout:g} s"
        if not condition:
            return (
                f"{expected}: the operator has told nothing about the resource; look at its log, "
                f"and whether it serves the namespace {self._namespace}"
            )
        return f"{expected}; it is {condition['status']}, {condition['reason']}: " + str(
            condition["message"]
        )

    async def _clean_up(self) -> None:
        for path in (
            self._resource_path(self._name),
            secret_path(self._namespace, self._secret),
        ):
            try:
                await self._api.request("DELETE", path)
            except ApiError as error:
                if error.http_status != _NOT_FOUND:
                    raise

    def _resource_path(self, name: str) -> str:
        collection = f"/apis/{GROUP}/{VERSION}/namespaces/{self._namespace}/{PLURAL}"
        return f"{collection}/{name}" if name else collection


def _parser() -> flags.Parser:
    parser = flags.Parser(
        prog="pinecone-token-operator check",
        description="See whether an installed operator tells of bad credentials; for helm test.",
        allow_abbrev=False,
    )
    parser.add_argument("--namespace", required=True, help="a namespace that the operator serves")
    parser.add_argument("--name", required=True, help="name of the resource to make and delete")
    parser.add_argument(
        "--ask-token-endpoint",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="see made-up credentials rejected by the token endpoint, too",
    )
    parser.add_argument(
        "--timeout", type=float, default=60.0, help="seconds that each status may take"
    )
    parser.add_argument("--kubeconfig", type=Path, help="how to reach the API server")
    return parser


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what it is for
