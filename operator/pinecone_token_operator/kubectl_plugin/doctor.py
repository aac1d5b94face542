"""Gathers what `doctor` judges: reads only what the user may read, and lists what it could not."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.media_types import METADATA_LIST
from pinecone_token_operator.kube.paths import LEASES, NAMESPACES, SECRETS
from pinecone_token_operator.kubectl_plugin import files, installation, rights, webhooks
from pinecone_token_operator.kubectl_plugin.consumers import find_uses, in_uses
from pinecone_token_operator.kubectl_plugin.findings import Finding, Severity, in_resource
from pinecone_token_operator.kubectl_plugin.installation import Installation
from pinecone_token_operator.kubectl_plugin.paths import (
    ACCESS_REVIEWS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    MUTATING,
    PODS,
    STATEFUL_SETS,
    VALIDATING,
)
from pinecone_token_operator.kubectl_plugin.reloader import in_workloads
from pinecone_token_operator.kubectl_plugin.resource import Resource, duration
from pinecone_token_operator.kubectl_plugin.session import Session, why_unread
from pinecone_token_operator.targets import names

T = TypeVar("T")
Object = Mapping[str, Any]

_SKEW: Final = timedelta(seconds=30)
_WORKLOADS: Final = (
    ("Deployment", DEPLOYMENTS),
    ("StatefulSet", STATEFUL_SETS),
    ("DaemonSet", DAEMON_SETS),
)


class Examination:
    """Examines resources and what is around them.

    Args:
        session: the API server and the namespace.
        reads_files: whether to read the age of mounted files by `kubectl exec`.

    Attributes:
        findings: what was found; each once.
        unchecked: what could not be checked, and why.
    """

    def __init__(self, session: Session, *, reads_files: bool) -> None:
        self._session = session
        self._api = session.api
        self._reads_files = reads_files
        self._lists: dict[str, Sequence[Object] | None] = {}
        self.findings: list[Finding] = []
        self.unchecked: list[str] = []

    def examine(self, resources: Sequence[Resource]) -> None:
        """Examine the resources, their consumers, and the operators that serve them."""
        now = self._api.now()
        for resource in resources:
            self._add(in_resource(resource, now))
        self._examine_operators(resources)
        self._examine_webhooks(resources)
        self._examine_clocks()
        for resource in resources:
            for secret in self._targets(resource):
                self._examine_target(secret)
        if not self._reads_files:
            self.unchecked.append("age of mounted files: add --check-files to read it in the pods")

    def examine_consumers(self, resource: Resource) -> None:
        """Examine a resource and its consumers only."""
        self._add(in_resource(resource, self._api.now()))
        for secret in self._targets(resource):
            self._examine_target(secret)

    def pods(self, namespace: str) -> Sequence[Object]:
        """Return the pods of a namespace; none if they cannot be read."""
        return self._list(f"consumers in namespace {namespace}", PODS.collection(namespace)) or ()

    def _add(self, findings: Iterable[Finding]) -> None:
        self.findings += [each for each in findings if each not in self.findings]

    def _try(self, what: str, read: Callable[[], T]) -> T | None:
        """Read something; None if it does not exist, or the user may not read it."""
        try:
            return read()
        except ApiError as error:
            if not error.not_found:
                note = f"{what}: {why_unread(error)}"
                if note not in self.unchecked:
                    self.unchecked.append(note)
            return None

    def _list(self, what: str, path: str, **query: str) -> Sequence[Object] | None:
        key = f"{path}?{query}"
        if key not in self._lists:
            parameters = list(query.items())
            self._lists[key] = self._try(what, lambda: list(self._api.list(path, parameters)))
        return self._lists[key]

    def _targets(self, resource: Resource) -> list[Object]:
        """Return the metadata of the targets that exist, in the namespaces to look in."""
        ref, target = resource.ref, resource.target
        if ref.namespace or self._session.namespace is not None:
            namespace = ref.namespace or self._session.own_namespace
            what = f"target Secret {namespace}/{target}"
            found = self._try(what, lambda: self._session.secret(namespace, target))
            return [found] if found and _is_of(found, resource) else []
        query = [("labelSelector", f"{names.RESOURCE_UID}={resource.uid}")]
        path = SECRETS.collection()
        what = f"target Secrets of {ref}"
        listed = self._try(what, lambda: list(self._api.list(path, query, METADATA_LIST)))
        return list(listed or ())

    def _written(self, resources: Sequence[Resource]) -> set[str]:
        """Return the namespaces that the operator writes to, those where it failed included."""
        found = {each.ref.namespace for each in resources} - {""}
        for resource in resources:
            if not resource.ref.namespace:
                failed = (resource.status.get("targets") or {}).get("failed") or ()
                found |= {str(each.get("namespace")) for each in failed}
                found |= {each["metadata"]["namespace"] for each in self._targets(resource)}
        return found

    def _examine_target(self, secret: Object) -> None:
        now = self._api.now()
        namespace, name = secret["metadata"]["namespace"], secret["metadata"]["name"]
        uses = find_uses(self.pods(namespace), name)
        self._add(in_uses(uses, secret, now))
        for kind, resource in _WORKLOADS:
            what = f"workloads in namespace {namespace}"
            workloads = self._list(what, resource.collection(namespace)) or ()
            # The items of a list have no kind of their own.
            self._add(in_workloads([{**each, "kind": kind} for each in workloads], secret))
        if not self._reads_files:
            return
        for use in filter(files.can_check, uses):
            text = files.read_expiry(use, self._session.kubectl)
            if text is None:
                where = f"{use.namespace}/{use.pod}, container {use.container}"
                self.unchecked.append(f"files of pod {where}: kubectl exec ... cat failed")
            else:
                self._add(files.in_file(use, text, secret, now))

    def _examine_operators(self, resources: Sequence[Resource]) -> None:
        now = self._api.now()
        deployments = self._list(
            "the operator's Deployment",
            DEPLOYMENTS.collection(),
            labelSelector=installation.SELECTOR,
        )
        if deployments is None:
            return
        found = installation.find_installations(deployments)
        namespaces = {each.ref.namespace for each in resources} - {""}
        has_fresh_token = any(each.is_ready(now) for each in resources)
        self._add(installation.in_installations(found, namespaces, has_fresh_token=has_fresh_token))
        has_cluster_tokens = any(not each.ref.namespace for each in resources)
        if has_cluster_tokens:
            self._add(installation.in_cluster_tokens(found))
        for each in found:
            if each.lease:
                self._examine_lease(each)
            for namespace in sorted(filter(each.serves, namespaces)):
                self._examine_rights(each, rights.for_namespace(namespace))
            if has_cluster_tokens:
                self._examine_rights(each, rights.for_cluster_tokens(each))

    def _examine_lease(self, found: Installation) -> None:
        what = f"Lease {found.namespace}/{found.lease}"
        path = LEASES.item(found.namespace, found.lease)
        before = len(self.unchecked)
        lease = self._try(what, lambda: self._api.request("GET", path))
        if lease is not None or len(self.unchecked) == before:
            self._add(installation.in_lease(found, lease, self._api.now()))

    def _examine_rights(self, found: Installation, needed: Iterable[rights.Right]) -> None:
        account = f"system:serviceaccount:{found.namespace}:{found.account}"
        missing = []
        for each in needed:
            review = each.review(account)
            reply = self._try(
                f"permissions of ServiceAccount {found.namespace}/{found.account}",
                lambda review=review: self._api.request(  # type: ignore[misc]  # mypy #16261
                    "POST", ACCESS_REVIEWS.collection(), body=review
                ),
            )
            if reply is None:
                return
            if not (reply.get("status") or {}).get("allowed"):
                missing.append(each)
        self._add(rights.in_rights(found, missing))

    def _examine_webhooks(self, resources: Sequence[Resource]) -> None:
        configurations = [
            each
            for resource in (VALIDATING, MUTATING)
            for each in self._list("admission webhooks", resource.collection()) or ()
        ]
        if not configurations:
            return
        labels = []
        for namespace in sorted(self._written(resources)):
            path = NAMESPACES.item(None, namespace)
            obj = self._try(
                f"labels of namespace {namespace}",
                lambda path=path: self._api.request("GET", path),  # type: ignore[misc]  # as above
            )
            labels += [obj["metadata"].get("labels") or {}] if obj else []
        for webhook in webhooks.find_required(configurations, labels):
            slices = self._list(
                f"Service {webhook.namespace}/{webhook.service} of webhook {webhook.name}",
                ENDPOINT_SLICES.collection(webhook.namespace),
                labelSelector=f"kubernetes.io/service-name={webhook.service}",
            )
            if slices is not None:
                self._add(webhooks.in_webhook(webhook, slices))

    def _examine_clocks(self) -> None:
        leases = self._list("clocks of nodes", LEASES.collection("kube-node-lease"))
        self._add(installation.in_clocks(leases or (), self._api.now()))
        ahead = self._api.ahead
        if abs(ahead) > _SKEW:
            direction = "behind" if ahead > timedelta() else "ahead of"
            self._add(
                [
                    Finding(
                        Severity.NOTICE,
                        "This machine",
                        f"its clock is {duration(abs(ahead))} {direction} the API server's; tokens"
                        " and this output follow the API server's",
                        "synchronize this machine's clock (NTP)",
                    )
                ]
            )


def _is_of(secret: Object, resource: Resource) -> bool:
    """Return whether a Secret holds the resource's token, or nobody's that says so."""
    metadata = secret["metadata"]
    uid = (metadata.get("labels") or {}).get(names.RESOURCE_UID)
    uid = uid or (metadata.get("annotations") or {}).get(names.RESOURCE_UID)
    return uid == resource.uid
