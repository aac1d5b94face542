"""Admission webhooks that can refuse a write of a target. No I/O."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pinecone_token_operator.api.labels import Operator, is_met
from pinecone_token_operator.kubectl_plugin.findings import Finding, Severity

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook that must answer for each write of a Secret, and the Service that provides it."""

    name: str
    namespace: str
    service: str


def find_required(
    configurations: Iterable[Object], namespaces: Sequence[Mapping[str, str]]
) -> list[Webhook]:
    """Return the webhooks whose failure refuses a write of a Secret in one of the namespaces.

    Args:
        configurations: mutating and validating ones.
        namespaces: the labels of each namespace.
    """
    return [
        Webhook(str(webhook["name"]), service["namespace"], service["name"])
        for configuration in configurations
        for webhook in configuration.get("webhooks") or ()
        if webhook.get("failurePolicy", "Fail") == "Fail"
        and any(_covers_secrets(rule) for rule in webhook.get("rules") or ())
        and any(selects(webhook.get("namespaceSelector") or {}, each) for each in namespaces)
        and (service := (webhook.get("clientConfig") or {}).get("service"))
    ]


def in_webhook(webhook: Webhook, endpoint_slices: Iterable[Object]) -> Iterator[Finding]:
    """Yield that a webhook cannot answer."""
    for each in endpoint_slices:
        for endpoint in each.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                return
    yield Finding(
        Severity.ERROR,
        f"Webhook {webhook.name}",
        f"its Service {webhook.namespace}/{webhook.service} has no ready endpoint, so that the API"
        " server refuses every write of a Secret",
        "repair the webhook, or exempt the namespace from it (namespaceSelector)",
    )


def _covers_secrets(rule: Object) -> bool:
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    return (
        bool({"", "*"} & set(groups))
        and bool({"secrets", "*", "*/*"} & set(resources))
        and bool({"CREATE", "UPDATE", "*"} & set(rule.get("operations") or ()))
        and rule.get("scope", "*") in ("*", "Namespaced")
    )


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector selects an object with these labels."""
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    return wanted.items() <= labels.items() and all(
        is_met(labels, each["key"], Operator(each["operator"]), each.get("values") or ())
        for each in selector.get("matchExpressions") or ()
    )
