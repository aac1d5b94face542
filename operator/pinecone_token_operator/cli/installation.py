"""The check of an installed operator: bad credentials must get a status condition that says so.

It shows that the operator watches resources, reads Secrets and reports what it finds; optionally
also that it reaches the token endpoint, which must reject the credentials made up here. Everything
the check creates is deleted again, however it ends.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pinecone_token_operator.api.access_token import KIND
from pinecone_token_operator.api.conditions import READY, REFRESHED, Reason
from pinecone_token_operator.api.group import API_VERSION
from pinecone_token_operator.controller.relist import api_resource
from pinecone_token_operator.errors import ApiError, CheckFailed, OperatorError
from pinecone_token_operator.kube import client
from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.kube.media_types import MERGE_PATCH
from pinecone_token_operator.kube.paths import SECRETS

PASSED, FAILED = 0, 1

_RESOURCES: Final = api_resource(KIND)
_POLL_SECONDS: Final = 0.5
_MADE_UP: Final = "made-up-by-pinecone-token-operator-check"


def check(
    namespace: str,
    name: str,
    timeout: timedelta,
    kubeconfig: Path | None,
    *,
    ask_token_endpoint: bool,
) -> int:
    """Check the installation, print what was seen, and return the exit code."""
    try:
        asyncio.run(_check(namespace, name, timeout, kubeconfig, ask_token_endpoint))
    except OperatorError as error:
        _print(f"FAILED: {error}")
        return FAILED
    _print("passed")
    return PASSED


async def _check(
    namespace: str,
    name: str,
    timeout: timedelta,  # noqa: ASYNC109 - of each step, not of the whole
    kubeconfig: Path | None,
    ask_token_endpoint: bool,  # noqa: FBT001 - as `check` takes it
) -> None:
    api = await client.connect(kubeconfig, None)
    try:
        installation = Installation(api, namespace, name, timeout, _print)
        await installation.check(ask_token_endpoint=ask_token_endpoint)
    finally:
        await api.aclose()


class Installation:
    """An installed operator, checked with a resource and a credentials Secret of the check's own.

    Args:
        api: the API server.
        namespace: where both are created; the operator must watch it.
        name: the resource's name; the Secret's is derived from it.
        timeout: how long to wait for each status condition.
        report: called with a line for each step that passed.
    """

    def __init__(
        self,
        api: Requests,
        namespace: str,
        name: str,
        timeout: timedelta,
        report: Callable[[str], None],
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._secret = f"{name}-credentials"
        self._timeout = timeout.total_seconds()
        self._report = report

    async def check(self, *, ask_token_endpoint: bool) -> None:
        """Check, then clean up.

        Raises:
            CheckFailed: a condition did not appear, or is not what it should be.
            ApiError: the API server refused or did not answer.
        """
        await self._clean_up()  # an earlier check may have been interrupted
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
            SECRETS.collection(self._namespace),
            body={
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": self._secret},
                "stringData": {"client_id": _MADE_UP},
            },
        )
        await self._api.request(
            "POST",
            _RESOURCES.collection(self._namespace),
            body={
                "apiVersion": API_VERSION,
                "kind": KIND.name,
                "metadata": {"name": self._name},
                "spec": {"credentialsSecretRef": {"name": self._secret}},
            },
        )

    async def _complete_credentials(self) -> None:
        await self._api.request(
            "PATCH",
            SECRETS.item(self._namespace, self._secret),
            body={"stringData": {"client_secret": _MADE_UP}},
            content_type=MERGE_PATCH,
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
            raise CheckFailed(self._timed_out(kind, reason, condition)) from None
        self._report(f"{kind} is {condition['status']}, {reason}: {condition['message']}")

    async def _condition(self, kind: str) -> Mapping[str, Any]:
        resource = await self._api.request("GET", _RESOURCES.item(self._namespace, self._name))
        found: list[dict[str, Any]] = resource.get("status", {}).get("conditions", [])
        return next((each for each in found if each["type"] == kind), {})

    def _timed_out(self, kind: str, reason: Reason, condition: Mapping[str, Any]) -> str:
        expected = f"{kind} did not become False with reason {reason} within {self._timeout:g} s"
        if not condition:
            return (
                f"{expected}: the operator has not set a status on the resource; check its logs, "
                f"and that it watches the namespace {self._namespace}"
            )
        return f"{expected}; it is {condition['status']}, {condition['reason']}: " + str(
            condition["message"]
        )

    async def _clean_up(self) -> None:
        for path in (
            _RESOURCES.item(self._namespace, self._name),
            SECRETS.item(self._namespace, self._secret),
        ):
            try:
                await self._api.request("DELETE", path)
            except ApiError as error:
                if not error.not_found:
                    raise


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the command's output
