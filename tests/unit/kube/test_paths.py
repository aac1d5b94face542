import pytest

from pinecone_token_operator.kube.paths import EVENTS, LEASES, NAMESPACES, SECRETS, ApiResource

CLUSTER_TOKENS = ApiResource("example.dev", "v1alpha1", "clustertokens", namespaced=False)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (SECRETS.collection(), "/api/v1/secrets"),
        (SECRETS.collection("team-a"), "/api/v1/namespaces/team-a/secrets"),
        (SECRETS.item("team-a", "app"), "/api/v1/namespaces/team-a/secrets/app"),
        (EVENTS.collection("team-a"), "/api/v1/namespaces/team-a/events"),
        (NAMESPACES.collection(), "/api/v1/namespaces"),
        (NAMESPACES.item(None, "team-a"), "/api/v1/namespaces/team-a"),
        (LEASES.api, "/apis/coordination.k8s.io/v1"),
        (
            LEASES.item("system", "operator"),
            "/apis/coordination.k8s.io/v1/namespaces/system/leases/operator",
        ),
        (
            CLUSTER_TOKENS.item(None, "shared", "status"),
            "/apis/example.dev/v1alpha1/clustertokens/shared/status",
        ),
    ],
)
def test_path_matches_the_kubernetes_api(path: str, expected: str) -> None:
    assert path == expected


def test_collection_of_a_cluster_scoped_kind_has_no_namespace() -> None:
    with pytest.raises(ValueError, match=r"clustertokens\.example\.dev is cluster-scoped"):
        CLUSTER_TOKENS.collection("team-a")


def test_item_of_a_namespaced_kind_needs_its_namespace() -> None:
    with pytest.raises(ValueError, match="secrets is namespaced"):
        SECRETS.item(None, "app")
