import pytest

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.targets.target import Target, read_target
from pinecone_token_operator.targets.write_errors import explain_refusal
from tests.support.builders import make_resource, make_secret, make_spec, make_target

SPEC = make_spec()
MERGING = make_spec(make_resource(target={"creationPolicy": "Merge"}))
IMMUTABLE = read_target(make_secret() | {"immutable": True})


@pytest.mark.parametrize(
    ("message", "words"),
    [
        pytest.param(
            'secrets "search" is forbidden: exceeded quota: few, requested: secrets=1, used: ...',
            "ResourceQuota few is exceeded",
            id="quota used up",
        ),
        pytest.param(
            'secrets "search" is forbidden: failed quota: few: must specify limits.cpu',
            "ResourceQuota few denied it",
            id="quota that does not fit",
        ),
        pytest.param(
            "secrets \"search\" is forbidden: ValidatingAdmissionPolicy 'no.secrets' with binding "
            "'all' denied request: t0ken",
            "ValidatingAdmissionPolicy no.secrets denied it",
            id="admission policy",
        ),
        pytest.param(
            'admission webhook "check.example.com" denied the request: t0ken',
            "admission webhook check.example.com denied it",
            id="webhook that denies",
        ),
        pytest.param(
            'Internal error occurred: failed calling webhook "check.example.com": t0ken',
            "admission webhook check.example.com failed; fix it",
            id="webhook that does not answer",
        ),
        pytest.param(
            'secrets "search" is forbidden: User "system:serviceaccount:a:b" cannot patch t0ken',
            "the operator's ServiceAccount lacks create on secrets in namespace shop",
            id="missing RBAC",
        ),
        pytest.param(
            'secrets "search" is forbidden: cannot set an ownerRef on a resource you can\'t '
            'delete: , User "system:serviceaccount:a:b" cannot delete t0ken',
            "grant the operator's ServiceAccount delete on secrets",
            id="guarded owner references",
        ),
        pytest.param(
            'secrets "search" is forbidden: unable to create new content in namespace shop because '
            "it is being terminated t0ken",
            "namespace shop is being deleted",
            id="terminating namespace",
        ),
        pytest.param("t0ken", "check for a quota, an admission policy or a webhook", id="unknown"),
        pytest.param(
            "ValidatingAdmissionPolicy 't0ken T0KEN' denied",
            "check for a quota, an admission policy or a webhook",
            id="invalid name",
        ),
        pytest.param(
            'admission webhook "' + "a" * 300 + 't0ken" denied',
            "check for a quota, an admission policy or a webhook",
            id="name that is too long",
        ),
    ],
)
def test_refusal_names_the_cause_and_never_quotes_the_server(message: str, words: str) -> None:
    explanation = explain_refusal(ApiError(403, "Forbidden", message), SPEC, None)
    assert explanation.startswith("the API server refused to write Secret shop/search (403 Forb")
    assert words in explanation
    assert "t0ken" not in explanation


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param(413, "it is too large; a Secret holds 1 MiB", id="too large"),
        pytest.param(422, "it is invalid; check the type, keys, labels", id="invalid"),
        pytest.param(400, "check for a quota, an admission policy", id="another refusal"),
        pytest.param(500, "retrying; if it persists, check admission webhooks", id="failure"),
    ],
)
def test_refusal_says_what_to_check_for_each_status(status: int, words: str) -> None:
    explanation = explain_refusal(ApiError(status, "Why", "t0ken"), SPEC, None)
    assert f"({status} Why): {words}" in explanation
    assert "t0ken" not in explanation


def test_refusal_leaves_out_a_status_that_there_was_not() -> None:
    explanation = explain_refusal(ApiError(0, "Timeout", "t0ken"), SPEC, None)
    assert "(Timeout): retrying" in explanation


@pytest.mark.parametrize(("target", "verb"), [(None, "create"), (make_target(), "patch")])
def test_refusal_names_the_missing_verb(target: Target | None, verb: str) -> None:
    error = ApiError(403, "Forbidden", 'secrets "search" is forbidden: User "a" cannot')
    assert f"lacks {verb} on secrets" in explain_refusal(error, SPEC, target)


def test_refusal_of_an_immutable_secret_comes_before_all_else() -> None:
    error = ApiError(422, "Invalid", "exceeded quota: few, t0ken")
    explanation = explain_refusal(error, SPEC, IMMUTABLE)
    assert "it is immutable; delete it and the operator will recreate it" in explanation
    assert "quota" not in explanation


def test_refusal_does_not_advise_to_delete_a_merged_secret() -> None:
    explanation = explain_refusal(ApiError(422, "Invalid", "no"), MERGING, IMMUTABLE)
    assert "it is immutable; recreate it as a mutable Secret" in explanation
    assert "delete" not in explanation
