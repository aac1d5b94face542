"""Reads kubeconfigs. The only module that imports `kubernetes`, which in a pod nothing needs."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from kubernetes.aio import config
from kubernetes.aio.client import Configuration


async def load(
    source: str, context: str | None
) -> tuple[Configuration, Callable[[], Awaitable[None]]]:
    """Read kubeconfigs, and return what they say and how to read the credentials again.

    Args:
        source: the files, separated as in KUBECONFIG.
        context: the context; None means the current one.

    Raises:
        Exception: almost any, if a kubeconfig is malformed. Its message may quote a token.
    """
    if not _any_file(source):
        raise FileNotFoundError(source)
    # With its default, a kubeconfig without `server` would mean http://localhost.
    configuration = Configuration(host="")
    loader = await config.load_kube_config(  # type: ignore[no-untyped-call]  # it has no types
        config_file=source,
        context=context,
        client_configuration=configuration,
        persist_config=False,
    )

    async def reload() -> None:
        # Runs an exec plugin or asks an OIDC issuer only when their credentials have expired.
        await loader.load_and_set(configuration)

    return configuration, reload


def _any_file(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)
