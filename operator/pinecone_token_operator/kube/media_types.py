"""Media types of requests to the API server and of its replies."""

from typing import Final

JSON: Final = "application/json"
JSON_PATCH: Final = "application/json-patch+json"  # RFC 6902: a list of operations
MERGE_PATCH: Final = "application/merge-patch+json"  # RFC 7386: null removes a field

# Objects without their spec and data, which for a Secret is the part that must not be cached.
# https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches
METADATA: Final = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST: Final = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
