"""Labels and annotations that the operator puts on a target Secret."""

from typing import Final

from pinecone_token_operator.api.group import PREFIX

ALLOW_MERGE: Final = f"{PREFIX}allow-merge"
"""An annotation by which a Secret's owner opts in to `creationPolicy: Merge`."""
RESOURCE_UID: Final = f"{PREFIX}resource-uid"
"""A label and an annotation: the UID of the resource that the Secret, or a part of it, is of.

The label is what Secrets are listed by; the annotation survives a policy that strips labels."""
RESOURCE: Final = f"{PREFIX}resource"
"""An annotation: the name of that resource, by which a recreated one takes the Secret over."""
TARGET: Final = f"{PREFIX}target"
"""An annotation: the Secret's own namespace and name, by which a copy of it is recognized."""
EXPIRES_AT: Final = f"{PREFIX}expires-at"
REFRESH_AT: Final = f"{PREFIX}refresh-at"
REFRESHED_AT: Final = f"{PREFIX}refreshed-at"
CREDENTIALS: Final = f"{PREFIX}credentials"
"""An annotation: the fingerprint of the credentials that the token was issued for."""
CREDENTIALS_SOURCE: Final = f"{PREFIX}credentials-source"
"""An annotation: from which version of the credentials Secret that fingerprint was computed.

It saves a read after a restart, and is never the reason for a write: without it, or with another
value, the credentials are read."""
CHECKSUM: Final = f"{PREFIX}checksum"
"""An annotation: detects an accidental change of the token or its times."""
LEGACY_CHECKSUM: Final = f"{PREFIX}data"
"""What version 0.1.0 called the checksum; still read."""
REFRESH_REQUEST: Final = f"{PREFIX}refresh-request"
"""An annotation: the requested refresh that the token served."""
MANAGED: Final = f"{PREFIX}managed"
"""An annotation: which keys, labels and annotations we wrote, so that we can remove them."""
RELOADER_IGNORE: Final = "reloader.stakater.com/ignore"
"""An annotation that keeps Stakater Reloader from restarting workloads at every refresh.

https://github.com/stakater/Reloader"""
DELETION_POLICY: Final = f"{PREFIX}deletion-policy"
"""An annotation on a merged Secret: what happens to our keys when the resource is deleted."""
