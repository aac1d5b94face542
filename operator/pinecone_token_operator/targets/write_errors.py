"""Why the API server refused to write a target, and what to do. No I/O.

The server's own message is not passed on: an admission policy may quote the object in it. Only
names of the cluster's own objects are taken from it.
"""

import re
from typing import Final

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.targets.secret import TargetSpec
from pinecone_token_operator.targets.target import Target

# What Kubernetes' own admission plugins say, each with the name of what refused.
_NAME: Final = r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)"
_KNOWN: Final = (
    (
        re.compile(rf"exceeded quota: {_NAME},"),
        "ResourceQuota {} is exceeded; raise it or delete unused objects",
    ),
    (
        re.compile(rf"failed quota: {_NAME}:"),
        "ResourceQuota {} denied it; see kubectl describe resourcequota",
    ),
    (
        re.compile(rf"ValidatingAdmissionPolicy '{_NAME}'"),
        "ValidatingAdmissionPolicy {} denied it; add an exception for this Secret",
    ),
    (
        re.compile(rf'admission webhook "{_NAME}" denied'),
        "admission webhook {} denied it; add an exception for this Secret",
    ),
    (
        re.compile(rf'failed calling webhook "{_NAME}"'),
        "admission webhook {} failed; fix it, or exempt this namespace from it",
    ),
)
_OWNER_REFERENCE: Final = "cannot set an ownerRef on a resource you can't delete"
_TERMINATING: Final = "because it is being terminated"


def explain_refusal(
    error: ApiError, spec: TargetSpec, target: Target | None, what: str = ""
) -> str:
    """Return a sentence for people.

    Args:
        error: what the API server answered to the write.
        spec: what was to be written.
        target: the target as it was before, if it existed.
        what: which part of the Secret was to be written; empty if it was the whole.
    """
    secret = f"Secret {'/'.join(spec.key)}"
    secret = f"the {what} of {secret}" if what else secret
    return (
        f"the API server refused to write {secret} ({error.brief}): {_advice(error, spec, target)}"
    )


def _advice(error: ApiError, spec: TargetSpec, target: Target | None) -> str:
    return _immutable(spec, target) or _named(error, spec.key[0]) or _by_status(error, spec, target)


def _immutable(spec: TargetSpec, target: Target | None) -> str:
    if target is None or not target.immutable:
        return ""
    if spec.merges:
        return "it is immutable; recreate it as a mutable Secret"
    return "it is immutable; delete it and the operator will recreate it"


def _named(error: ApiError, namespace: str) -> str:
    """Return what to do about the cause that the server's message names, if it names one."""
    if _OWNER_REFERENCE in error.message:
        return (
            "this cluster requires delete permission to set owner references; grant the operator's "
            "ServiceAccount delete on secrets, or set spec.target.deletionPolicy to Retain"
        )
    if _TERMINATING in error.message:
        return f"namespace {namespace} is being deleted"
    for pattern, meaning in _KNOWN:
        if found := pattern.search(error.message):
            return meaning.format(found[1])
    return ""


def _by_status(error: ApiError, spec: TargetSpec, target: Target | None) -> str:
    if "is forbidden: User" in error.message:
        verb = "patch" if target else "create"
        return (
            f"the operator's ServiceAccount lacks {verb} on secrets in namespace {spec.key[0]}; "
            "check its Role or ClusterRole and their bindings"
        )
    if error.too_large:
        return "it is too large; a Secret holds 1 MiB, so shorten spec.target.template.data"
    if error.invalid:
        return "it is invalid; check the type, keys, labels and annotations in spec.target.template"
    if error.is_refusal:
        return "check for a quota, an admission policy or a webhook that denies it"
    return "retrying; if it persists, check admission webhooks and the API server"
