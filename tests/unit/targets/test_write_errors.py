import pytest

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.targets.target import read_target
from pinecone_token_operator.targets.write_errors import explain_refusal
from tests.support.builders import make_resource, make_secret


@pytest.mark.parametrize(
    ("message", "words"),
    [
        pytest.param(
            'secrets "search" is forbidden: exceeded quota: few, requested: secrets=1, used: ...',
            "the ResourceQuota few is used up",
            id="a quota",
        ),
        pytest.param(
            'secrets "search" is forbidden: failed quota: few: must specify limits.cpu',
            "the ResourceQuota few forbids it",
            id="a quota that does not fit",
        ),
        pytest.param(
            "secrets \"search\" is forbidden: ValidatingAdmissionPolicy 'no.secrets' with binding "
            "'all' denied request: t0ken",
            "the ValidatingAdmissionPolicy no.secrets forbids it",
            id="a policy",
        ),
        pytest.param(
            'admission webhook "check.example.com" denied the request: t0ken',
            "the admission webhook check.example.com forbids it",
            id="a webhook",
        ),
        pytest.param(
            'secrets "search" is forbidden: User "system:serviceaccount:a:b" cannot patch t0ken',
            "no right",
            id="no rights",
        ),
        pytest.param("t0ken", "see whether", id="anything else"),
        pytest.param(
            "ValidatingAdmissionPolicy 't0ken T0KEN' denied",
            "see whether",
            id="a name that is none",
        ),
    ],
)
def test_says_what_refused_and_not_what_it_said(message: str, words: str) -> None:
    told = explain_refusal(ApiError(403, "Forbidden", message), "search", None)
    assert "403 Forbidden" in told
    assert words in told
    assert "t0ken" not in told


def test_an_immutable_secret_is_named_first() -> None:
    target = read_target(make_secret(make_resource()) | {"immutable": True})
    assert "immutable" in explain_refusal(ApiError(422, "Invalid", "no"), "search", target)
