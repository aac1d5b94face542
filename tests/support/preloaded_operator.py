"""Imports the programs in the process that others are forked from; see `forked_process`."""

import gc
from importlib import import_module
from typing import Final

_MODULES: Final = (
    "pinecone_token_operator.cli.check",
    "pinecone_token_operator.cli.installation",
    "pinecone_token_operator.cli.kubectl_plugin",
    "pinecone_token_operator.cli.run",
    "pinecone_token_operator.cli.sidecar",
    "pinecone_token_operator.kube.kubeconfig",
    "pinecone_token_operator.kubectl_plugin.actions",
    "pinecone_token_operator.kubectl_plugin.api_server",
    "pinecone_token_operator.kubectl_plugin.completion",
    "pinecone_token_operator.kubectl_plugin.diagnose",
    "pinecone_token_operator.kubectl_plugin.events",
    "pinecone_token_operator.kubectl_plugin.status",
    "pinecone_token_operator.runtime.manager",
    "pinecone_token_operator.runtime.sidecar.manager",
    "pinecone_token_operator.telemetry.logs",
    # Libraries import these late: httpx for its first request, `strptime` when it is first called.
    "httpcore",
    "anyio._backends._asyncio",
    "_strptime",
)

for name in _MODULES:
    import_module(name)

# Otherwise the garbage collector of each fork would traverse all imports and copy their memory.
gc.collect()
gc.freeze()
