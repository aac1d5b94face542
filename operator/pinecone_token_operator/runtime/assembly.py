"""The one composition root: puts the control loop together, for production and tests alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from pinecone_token_operator.config.settings import ClusterTokens
from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.controller.controller import Controller, Namespace
from pinecone_token_operator.controller.index import Index
from pinecone_token_operator.controller.reconciler import Reconciler
from pinecone_token_operator.controller.workers import Workers
from pinecone_token_operator.env import Env
from pinecone_token_operator.issuing.issuer import TokenEndpoint
from pinecone_token_operator.issuing.rate_limit import RateLimitedIssuer
from pinecone_token_operator.keys import ObjectRef
from pinecone_token_operator.kube.interfaces import ApiServer, RequestsAndLists
from pinecone_token_operator.kube.paths import NAMESPACES
from pinecone_token_operator.reconcilers.access_token import AccessTokenReconciler
from pinecone_token_operator.reconcilers.cluster_access_token import ClusterAccessTokenReconciler
from pinecone_token_operator.reconcilers.deliver import DeliverStep
from pinecone_token_operator.reconcilers.gather import Audience, Gatherer
from pinecone_token_operator.reconcilers.issue import IssueStep
from pinecone_token_operator.reconcilers.refresh import MakeRefresher, Refresher
from pinecone_token_operator.reconcilers.status_writer import Record
from pinecone_token_operator.reconcilers.token_reconciler import Collaborators
from pinecone_token_operator.targets.secret_store import SecretStore
from pinecone_token_operator.telemetry.metrics import Metrics
from pinecone_token_operator.watch.health import WatchHealth
from pinecone_token_operator.watch.namespaces import Namespace as WatchedNamespace
from pinecone_token_operator.watch.namespaces import Namespaces
from pinecone_token_operator.watch.reflector import Reflector
from pinecone_token_operator.watch.secrets_metadata import SecretReflector, SecretVersions

MakeReconciler = Callable[[Collaborators, MakeRefresher], Reconciler]

RECONCILERS: Final[tuple[MakeReconciler, ...]] = (AccessTokenReconciler,)
"""One for each kind that is always served; a new kind is registered here or in `assemble`."""


@dataclass(frozen=True, slots=True)
class ControlLoop:
    """Everything between the watches and the API server.

    Attributes:
        index: the resources.
        reconcilers: by the name of their kind.
        reflectors: the metadata watches of Secrets, by namespace.
        namespace_reflectors: the metadata watches of namespaces; none without cluster-scoped
            tokens.
        workers: the worker pool.
        controller: takes events, relists, and runs the workers.
    """

    index: Index
    reconcilers: Mapping[str, Reconciler]
    reflectors: Mapping[Namespace, SecretReflector]
    namespace_reflectors: Sequence[Reflector]
    workers: Workers
    controller: Controller


def assemble(
    *,
    api: ApiServer,
    writable: RequestsAndLists,
    endpoint: TokenEndpoint,
    record: Record,
    audience: Audience,
    namespaces: Sequence[Namespace],
    shard: Shard,
    keep_tokens: timedelta,
    metrics: Metrics,
    env: Env,
    health: WatchHealth | None = None,
    kinds: Sequence[MakeReconciler] = RECONCILERS,
    cluster_tokens: ClusterTokens | None = None,
) -> ControlLoop:
    """Put the control loop together; nothing runs yet.

    Args:
        api: the API server, for reads.
        writable: the API server, for writes; a write guard refuses them on a standby.
        endpoint: the token endpoint.
        record: records Events.
        audience: what a fingerprint of credentials covers besides them.
        namespaces: the namespaces to serve; a single None means all.
        shard: which of the resources there to serve.
        keep_tokens: how long a token is kept in memory, to restore a target that lost it.
        metrics: what is measured.
        env: the clocks and random numbers.
        health: the state of all watches and lists; by default of these ones only.
        kinds: makes the reconciler of each kind that is always served.
        cluster_tokens: the settings of cluster-scoped tokens; None if they are not served.
    """

    def queue(ref: ObjectRef) -> None:
        workers.add(ref)

    def missed() -> None:
        controller.relist()

    health = health or WatchHealth()
    index = Index(queue)
    # Filled below: what they notify is made of what asks them for versions.
    reflectors: dict[Namespace, SecretReflector] = {}
    versions = SecretVersions(reflectors)
    store = SecretStore(api=writable, versions=versions)
    collaborators = Collaborators(
        api=writable,
        index=index,
        metrics=metrics,
        record=record,
        missed=missed,
        requeue=queue,
        env=env,
    )
    gatherer = Gatherer(api=api, store=store, versions=versions, audience=audience, env=env)
    issue = IssueStep(
        issuer=RateLimitedIssuer(endpoint, metrics.exchange, env, resume=queue),
        observe_lateness=metrics.lateness,
        env=env,
    )
    make_refresher = partial(
        Refresher,
        gatherer=gatherer,
        issue=issue,
        deliver=DeliverStep(store=store, keep=keep_tokens, env=env),
        keep=keep_tokens,
        env=env,
    )
    made = [make(collaborators, make_refresher) for make in kinds]
    served: Namespaces | None = None
    if cluster_tokens is not None:

        def namespace_changed(
            before: WatchedNamespace | None, after: WatchedNamespace | None
        ) -> None:
            cluster_reconciler.namespace_changed(before, after)

        served = Namespaces(
            api,
            tuple(namespaces),
            changed=namespace_changed,
            monotonic=env.monotonic,
            rng=env.rng,
            health=health,
        )
        cluster_reconciler = ClusterAccessTokenReconciler(
            collaborators,
            make_refresher,
            namespaces=served,
            scopes=namespaces,
            credentials_namespace=cluster_tokens.namespace,
            unlisted=partial(_problems, health),
        )
        made.append(cluster_reconciler)
    reconcilers = {each.kind.name: each for each in made}
    workers = Workers(index=index, reconcilers=reconcilers, metrics=metrics, env=env)
    controller = Controller(
        api=api,
        namespaces=namespaces,
        shard=shard,
        index=index,
        reconcilers=reconcilers,
        workers=workers,
        forget_secret=versions.forget,
        listed=health.listed,
        env=env,
    )
    for namespace in _with_secrets(namespaces, cluster_tokens):
        reflectors[namespace] = SecretReflector(
            api,
            namespace,
            is_wanted=index.is_wanted,
            changed=controller.secret_changed,
            monotonic=env.monotonic,
            rng=env.rng,
            health=health,
        )
    return ControlLoop(
        index=index,
        reconcilers=reconcilers,
        reflectors=reflectors,
        namespace_reflectors=() if served is None else served.reflectors,
        workers=workers,
        controller=controller,
    )


def _with_secrets(
    namespaces: Sequence[Namespace], cluster_tokens: ClusterTokens | None
) -> list[Namespace]:
    """Return the namespaces whose Secrets are watched: those to serve, and all credentials'."""
    found = list(namespaces)
    if cluster_tokens and None not in found and cluster_tokens.namespace not in found:
        found.append(cluster_tokens.namespace)
    return found


def _problems(health: WatchHealth) -> str:
    return "; ".join(health.failures(NAMESPACES.plural).values())
