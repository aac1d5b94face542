"""Names that users and other programs rely on, as the documentation spells them.

They are written out here and not imported from the operator: whoever renames one changes the API,
and the tests that use this module notice.
"""

from typing import Final

GROUP: Final = "pinecone.token-operator.dev"
VERSION: Final = "v1alpha1"
KIND: Final = "PineconeAccessToken"
PLURAL: Final = "pineconeaccesstokens"
CLUSTER_KIND: Final = "ClusterPineconeAccessToken"
CLUSTER_PLURAL: Final = "clusterpineconeaccesstokens"
PREFIX: Final = f"{GROUP}/"

# On a resource.
REFRESH_REQUESTED_AT: Final = f"{PREFIX}refresh-requested-at"

# On a target Secret. RESOURCE_UID is a label, the others are annotations.
RESOURCE_UID: Final = f"{PREFIX}resource-uid"
ALLOW_MERGE: Final = f"{PREFIX}allow-merge"
RESOURCE: Final = f"{PREFIX}resource"
EXPIRES_AT: Final = f"{PREFIX}expires-at"
REFRESH_AT: Final = f"{PREFIX}refresh-at"
REFRESH_REQUEST: Final = f"{PREFIX}refresh-request"
TARGET: Final = f"{PREFIX}target"
REFRESHED_AT: Final = f"{PREFIX}refreshed-at"
CREDENTIALS: Final = f"{PREFIX}credentials"
CREDENTIALS_SOURCE: Final = f"{PREFIX}credentials-source"
CHECKSUM: Final = f"{PREFIX}checksum"
RELOADER_IGNORE: Final = "reloader.stakater.com/ignore"
MANAGED: Final = f"{PREFIX}managed"
DELETION_POLICY: Final = f"{PREFIX}deletion-policy"
