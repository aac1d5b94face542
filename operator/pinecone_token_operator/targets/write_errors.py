"""Says why the API server refused to write a target, and what to do. No I/O.

The server's own message is not passed on: an admission policy may quote the object in it. What is
taken from it are names of the cluster's own objects.
"""

import re
from typing import Final

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.targets.target import Target

# What Kubernetes' own admission plugins say, each with the name of what refused.
_NAME: Final = r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)"
_KNOWN: Final = (
    (
        re.compile(rf"exceeded quota: {_NAME},"),
        "the ResourceQuota {} is used up: raise it, or delete what is not needed",
    ),
    (
        re.compile(rf"failed quota: {_NAME}:"),
        "the ResourceQuota {} forbids it: see kubectl describe resourcequota",
    ),
    (
        re.compile(rf"ValidatingAdmissionPolicy '{_NAME}'"),
        "the ValidatingAdmissionPolicy {} forbids it: make an exception for this Secret",
    ),
    (
        re.compile(rf'admission webhook "{_NAME}" denied'),
        "the admission webhook {} forbids it: make an exception for this Secret",
    ),
)


def explain_refusal(error: ApiError, name: str, target: Target | None) -> str:
    """Return a sentence for people.

    Args:
        error: the refusal.
        name: the target's name.
        target: the target as it was before, if it exists.
    """
    refused = (
        f"the API server refused to write the Secret {name} ({error.http_status} {error.reason}): "
    )
    if target is not None and target.immutable:
        return f"{refused}it is immutable; delete it, and it is made anew"
    for pattern, meaning in _KNOWN:
        if found := pattern.search(error.message):
            return refused + meaning.format(found[1])
    if "is forbidden: User" in error.message:
        return f"{refused}the operator has no right to: see its Role or ClusterRole"
    return f"{refused}see whether a quota, an admission policy or a webhook forbids it"
