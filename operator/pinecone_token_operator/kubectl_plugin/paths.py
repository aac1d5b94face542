"""Paths of what the commands read besides resources and Secrets. No I/O."""

from typing import Final

from pinecone_token_operator.kube.paths import ApiResource

PODS: Final = ApiResource("", "v1", "pods")
DEPLOYMENTS: Final = ApiResource("apps", "v1", "deployments")
STATEFUL_SETS: Final = ApiResource("apps", "v1", "statefulsets")
DAEMON_SETS: Final = ApiResource("apps", "v1", "daemonsets")
ENDPOINT_SLICES: Final = ApiResource("discovery.k8s.io", "v1", "endpointslices")
ACCESS_REVIEWS: Final = ApiResource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", namespaced=False
)
_ADMISSION: Final = "admissionregistration.k8s.io"
VALIDATING: Final = ApiResource(
    _ADMISSION, "v1", "validatingwebhookconfigurations", namespaced=False
)
MUTATING: Final = ApiResource(_ADMISSION, "v1", "mutatingwebhookconfigurations", namespaced=False)
