"""Imports the operator in the process that others are forked from; see `forked_process`."""

import gc

import pinecone_token_operator.cli.run
import pinecone_token_operator.kube.kubeconfig
import pinecone_token_operator.runtime.manager
import pinecone_token_operator.telemetry.logs  # noqa: F401

# Or the collector of each would look through all of it, and copy the memory by that.
gc.collect()
gc.freeze()
