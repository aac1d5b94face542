"""A cluster-scoped resource and its copies for tests of the pure core."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from pinecone_token_operator.api.cluster_access_token import (
    KIND,
    ClusterPineconeAccessToken,
    parse_cluster_resource,
)
from pinecone_token_operator.api.common import DeletionPolicy
from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.reconcilers.assignment import Assignment, make_assignment
from pinecone_token_operator.reconcilers.known_target import KnownTarget
from pinecone_token_operator.reconcilers.outcome import Outcome, evaluate
from pinecone_token_operator.reconcilers.state import Known
from pinecone_token_operator.targets.secret import TargetSpec, desire, secret_to_create
from pinecone_token_operator.targets.stored_token import StoredToken
from pinecone_token_operator.targets.target import Owner, read_target
from tests.support.builders import NOON, UID, make_token

TARGET: Final = "pinecone-access-token"
BLOCKED: Final = Problem(Reason.TARGET_NOT_WRITABLE, "exceeded quota: secrets=0")


def make_cluster_resource(**spec: object) -> ClusterPineconeAccessToken:
    """Return a resource `shared`; `spec` in the API's own names."""
    metadata = {
        "name": "shared",
        "uid": UID,
        "generation": 3,
        "creationTimestamp": "2026-11-25T11:00:00Z",
    }
    body: dict[str, Any] = {
        "metadata": metadata,
        "spec": {
            "credentialsSecretRef": {"name": "account"},
            "namespaceSelector": {},
            "target": {"name": TARGET},
            **spec,
        },
    }
    return parse_cluster_resource(body, "operators")


def make_copies_assignment(
    namespaces: Iterable[str],
    resource: ClusterPineconeAccessToken | None = None,
    rivals: Mapping[str, str] | None = None,
) -> Assignment:
    """Return what a resource requests in some namespaces; `rivals` own the target in theirs."""
    resource = resource or make_cluster_resource()
    owner = Owner(KIND.name, resource.metadata.name, resource.metadata.uid)
    specs = [
        TargetSpec(
            key=(namespace, resource.target_name),
            ref=resource.ref,
            owner=owner,
            merges=False,
            deletion_policy=DeletionPolicy.DELETE,
            template=resource.spec.target.template,
        )
        for namespace in namespaces
    ]
    owners = rivals or {}
    return make_assignment(resource, specs, lambda key, _: owners.get(key[0]))


def holding(spec: TargetSpec, token: StoredToken | None = None) -> KnownTarget:
    """Return what is known of a copy that holds a token and nothing is wrong with."""
    token = token or make_token()
    body = secret_to_create(spec, desire(spec, token))
    namespace, name = spec.key
    metadata = {"namespace": namespace, "name": name, "uid": "5ec", "resourceVersion": "7"}
    body = {"type": "Opaque", **body, "metadata": {**metadata, **body["metadata"]}}
    return KnownTarget(
        target=read_target(body), stored=token, times=token.times, had_token=True, spec=spec
    )


def make_copies_known(
    assignment: Assignment, changed: Mapping[str, KnownTarget] | None = None, **fields: Any
) -> Known:
    """Return what is known when all copies hold the token, but for some namespaces."""
    known = Known(generation=3, credentials="c0ffee", credentials_version="3")
    found = {spec.key: holding(spec) for spec in assignment.specs}
    found |= {(namespace, TARGET): one for namespace, one in (changed or {}).items()}
    return replace(known, targets=found, **fields)


def make_copies_outcome(assignment: Assignment, known: Known, now: datetime = NOON) -> Outcome:
    """Return what follows from what is known."""
    return evaluate(assignment, known, now, fraction=0.0, keep=timedelta())
