from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.placeholders import PLACEHOLDERS
from pinecone_token_operator.targets.stored_token import TOKEN_KEYS, max_rendered_size, render
from tests.support.builders import after, make_token

OWN_KEYS = {"access_token", "token_type", "expires_at"}


def test_render_gives_the_token_keys_without_a_template() -> None:
    assert render(make_token(), {}) == {
        "access_token": "t0ken",
        "token_type": "Bearer",
        "expires_at": "2026-11-25T12:30:00Z",
    }
    assert set(TOKEN_KEYS) == OWN_KEYS


def test_render_fills_every_placeholder_of_a_template() -> None:
    template = {
        "authorization": "$$ ${token_type} ${access_token}",
        "until": "${expires_at} or $expires_at_unix",
        "plain": "ü",
    }
    rendered = render(make_token(), template)
    assert rendered["authorization"] == "$ Bearer t0ken"
    assert rendered["until"] == f"2026-11-25T12:30:00Z or {int(after(30).timestamp())}"
    assert rendered["plain"] == "ü"
    assert rendered.keys() == OWN_KEYS | template.keys()


pieces = st.sampled_from(
    [
        *(f"${{{name}}}" for name in PLACEHOLDERS),
        *(f"${name} " for name in PLACEHOLDERS),
        *PLACEHOLDERS,
        "$$",
        "ü",
    ]
)
# What is between placeholders has no `$`: the CRD's and the models' rules refuse a stray one.
plain = st.text(st.characters(exclude_characters="$", exclude_categories=["Cs"]), max_size=5)
templates = st.dictionaries(
    st.sampled_from("abc"),
    st.lists(pieces | plain.map(lambda text: f"\n{text}"), max_size=8).map("".join),
)


@given(
    templates,
    st.integers(1, 40).map(lambda length: "t" * length),
    st.integers(0, 24 * 3600).map(lambda seconds: after(seconds=seconds)),
)
def test_max_rendered_size_is_an_upper_bound(
    template: dict[str, str], access_token: str, expires_at: object
) -> None:
    token = make_token(access_token=access_token, expires_at=expires_at)
    rendered = render(token, template)
    size = sum(len(rendered[key].encode()) for key in template)
    assert size <= max_rendered_size(template, len(access_token))


def test_max_rendered_size_counts_each_use_of_the_token() -> None:
    template = {"a": "${access_token}$access_token", "b": "ü"}
    uses = len("${access_token}$access_token") + 2 * 1000
    assert max_rendered_size(template, 1000) == uses + len("ü".encode())
