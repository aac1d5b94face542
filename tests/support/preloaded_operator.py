"""Imports the operator in the process that others are forked from; see `forked_process`."""

import gc

import pinecone_token_operator.cli.run
import pinecone_token_operator.kube.kubeconfig
import pinecone_token_operator.runtime.manager
import pinecone_token_operator.telemetry.logs  # noqa: F401

# Otherwise the garbage collector of each fork would traverse all imports and copy their memory.
gc.collect()
gc.freeze()
