import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.config.proxies import Proxies, Proxy, read
from pinecone_token_operator.errors import SettingsInvalid

ENDPOINT = "https://login.pinecone.io/oauth/token"
PROXY = "http://proxy.example.com:3128"


def goes_through_proxy(url: str, no_proxy: str) -> bool:
    return read({"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}).for_endpoint(url) is not None


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        pytest.param("", "a.example", False, id="empty list"),
        pytest.param("*", "a.example", True, id="asterisk"),
        pytest.param("b.example,*", "a.example", True, id="asterisk among others"),
        pytest.param("a.example", "a.example", True, id="host itself"),
        pytest.param("A.Example", "a.eXample", True, id="case"),
        pytest.param("a.example.", "a.example", True, id="trailing dot in the list"),
        pytest.param("a.example", "a.example.", True, id="trailing dot in the URL"),
        pytest.param("example", "a.b.example", True, id="subdomain"),
        pytest.param("example", "anexample", False, id="suffix that is not a subdomain"),
        pytest.param("a.example", "example", False, id="parent domain"),
        pytest.param(".example", "a.example", True, id="leading dot and a subdomain"),
        pytest.param(".example", "example", False, id="leading dot and the domain"),
        pytest.param("*.example", "a.example", True, id="leading wildcard and a subdomain"),
        pytest.param("*.example", "example", False, id="leading wildcard and the domain"),
        pytest.param("a.*.example", "a.b.example", True, id="inner wildcard"),
        pytest.param("10.0.*", "10.0.3.4", True, id="wildcard in an address"),
        pytest.param("10.0.*", "10.1.3.4", False, id="wildcard in another address"),
        pytest.param("x , a.example", "a.example", True, id="spaces around a comma"),
        pytest.param("x a.example", "a.example", True, id="space instead of a comma"),
        pytest.param(",,a.example,", "a.example", True, id="empty entries"),
        pytest.param("/var/run/docker.sock,a.example", "a.example", True, id="socket path"),
        pytest.param("https://a.example/", "a.example", True, id="URL instead of a host"),
        pytest.param("10.1.2.3", "10.1.2.3", True, id="IPv4 address"),
        pytest.param("2.3", "10.1.2.3", False, id="end of an IPv4 address"),
        pytest.param("10.0.0.0/8", "10.1.2.3", True, id="IPv4 network"),
        pytest.param("10.0.0.1/8", "10.1.2.3", True, id="IPv4 network with host bits"),
        pytest.param("10.0.0.0/8", "11.1.2.3", False, id="other IPv4 network"),
        pytest.param("10.0.0.0/8", "ten.example", False, id="network and a name"),
        pytest.param("fd00::/8", "[fd12::3]", True, id="IPv6 network"),
        pytest.param("fd00::/8", "[fe12::3]", False, id="other IPv6 network"),
        pytest.param("[fd00::]/8", "[fd12::3]", True, id="IPv6 network, address in brackets"),
        pytest.param("[fd00::/8]", "[fd12::3]", True, id="IPv6 network in brackets"),
        pytest.param("::1", "[::1]", True, id="IPv6 address"),
        pytest.param("[::1]", "[::1]", True, id="IPv6 address in brackets"),
        pytest.param("[0:0::1]", "[::1]", True, id="IPv6 address written otherwise"),
        pytest.param("a.example:443", "a.example", True, id="default port"),
        pytest.param("a.example:8443", "a.example:8443", True, id="port"),
        pytest.param("a.example:8443", "a.example", False, id="other port"),
        pytest.param("10.1.2.3:8443", "10.1.2.3:8443", True, id="IPv4 address and port"),
        pytest.param("[::1]:8443", "[::1]:8443", True, id="IPv6 address and port"),
        pytest.param("[::1]:8443", "[::1]", False, id="IPv6 address and other port"),
        pytest.param("[fd00::]/8,10.0.0.0/8", "10.1.2.3", True, id="second entry"),
    ],
)
def test_no_proxy_selects_the_hosts_reached_directly(
    no_proxy: str, host: str, *, direct: bool
) -> None:
    assert goes_through_proxy(f"https://{host}/oauth/token", no_proxy) is not direct


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param("10.0.0.0/33", id="prefix too long"),
        pytest.param("fd00::/8/8", id="two prefixes"),
        pytest.param("[fd00::", id="half a bracket"),
        pytest.param("[fd00::]8", id="text after a bracket"),
        pytest.param("[a.example]", id="name in brackets"),
        pytest.param("[abc]", id="name of hexadecimal digits in brackets"),
        pytest.param("a.example:https", id="port that is not a number"),
        pytest.param("a.example:0", id="port zero"),
        pytest.param("a.example:65536", id="port out of range"),
        pytest.param("a..example", id="empty label"),
        pytest.param("<local>", id="what only Windows knows"),
        pytest.param("a.example;b.example", id="semicolon"),
    ],
)
def test_no_proxy_entry_that_is_not_understood_is_refused(entry: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"^no_proxy: .* is not a host name") as caught:
        read({"no_proxy": f"good.example,{entry}", "HTTPS_PROXY": PROXY})
    assert repr(entry) in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "endpoint", "api_server"),
    [
        pytest.param({}, None, None, id="no variable"),
        pytest.param({"HTTPS_PROXY": PROXY}, PROXY, PROXY, id="upper case"),
        pytest.param({"https_proxy": PROXY}, PROXY, PROXY, id="lower case"),
        pytest.param({"HTTPS_PROXY": "http://b:1", "https_proxy": PROXY}, PROXY, PROXY, id="both"),
        pytest.param({"HTTPS_PROXY": PROXY, "https_proxy": ""}, PROXY, PROXY, id="empty"),
        pytest.param({"HTTP_PROXY": PROXY}, None, None, id="proxy for http only"),
        pytest.param({"ALL_PROXY": PROXY}, PROXY, None, id="all, which kubectl ignores"),
        pytest.param(
            {"ALL_PROXY": "http://a:1", "HTTPS_PROXY": PROXY}, PROXY, PROXY, id="https before all"
        ),
        pytest.param(
            {"HTTPS_PROXY": PROXY, "NO_PROXY": "b.example", "no_proxy": "*"}, None, None, id="none"
        ),
        pytest.param(
            {"HTTPS_PROXY": PROXY, "ALL_PROXY": "socks5://127.0.0.1:1"},
            PROXY,
            PROXY,
            id="SOCKS proxy that nothing uses",
        ),
        pytest.param(
            {"HTTPS_PROXY": "socks5://127.0.0.1:1", "NO_PROXY": "*"}, None, None, id="unused"
        ),
    ],
)
def test_proxy_is_chosen_by_variable_and_purpose(
    environ: dict[str, str], endpoint: str | None, api_server: str | None
) -> None:
    proxies = read(environ)
    chosen = proxies.for_endpoint(ENDPOINT), proxies.for_api_server("https://10.96.0.1:6443")
    assert tuple(proxy and proxy.url for proxy in chosen) == (endpoint, api_server)


def test_loopback_is_reached_directly_when_it_must_be() -> None:
    proxies = read({"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "ALL_PROXY": PROXY})
    # Plain http is for loopback, and its requests carry the client secret.
    assert proxies.for_endpoint("http://127.0.0.1:8080/oauth/token") is None
    assert proxies.for_endpoint("https://127.0.0.1:8443/oauth/token") is not None
    for url in ("https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443"):
        assert proxies.for_api_server(url) is None
    assert proxies.for_api_server("http://10.96.0.1:8080") is not None


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        pytest.param("http://a.example:3128", Proxy("http", "a.example", 3128), id="URL"),
        pytest.param("a.example:3128", Proxy("http", "a.example", 3128), id="no scheme"),
        pytest.param("a.example", Proxy("http", "a.example", 80), id="host alone"),
        pytest.param("https://a.example/", Proxy("https", "a.example", 443), id="https"),
        pytest.param("HTTP://A.Example:1", Proxy("http", "a.example", 1), id="upper case"),
        pytest.param(" http://a.example:1\n", Proxy("http", "a.example", 1), id="white space"),
        pytest.param("http://[fd00::1]:1", Proxy("http", "fd00::1", 1), id="IPv6 address"),
        pytest.param("http://squid_1:1", Proxy("http", "squid_1", 1), id="underscore"),
        pytest.param(
            "http://me:s%40cret%2F@a.example:1",
            Proxy("http", "a.example", 1, "me", "s@cret/"),
            id="credentials",
        ),
        pytest.param(
            "me:s@cret@a.example:1",
            Proxy("http", "a.example", 1, "me", "s@cret"),
            id="at sign in a password",
        ),
    ],
)
def test_proxy_url_is_parsed(text: str, proxy: Proxy) -> None:
    assert read({"HTTPS_PROXY": text}).https == proxy
    assert read({"HTTPS_PROXY": proxy.url_with_credentials}).https == proxy


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("http://me:hunter2#@a.example:1", id="hash in the password"),
        pytest.param("http://me:hun/ter2@a.example:1", id="slash in the password"),
        pytest.param("http://me:12/hunter2@a.example:1", id="slash after digits"),
        pytest.param("http://me:hunter2?@a.example:1", id="question mark in the password"),
        pytest.param("http://me:hunter2[@a.example:1", id="bracket in the password"),
        pytest.param("http://me:hunter2 @a.example:1", id="space in the password"),
        pytest.param("http://me:hunter2%ff@a.example:1", id="password that is not UTF-8"),
        pytest.param("http://me:hunter2@a.example:x", id="port that is not a number"),
        pytest.param("http://me:hunter2@a.example:0", id="port zero"),
        pytest.param("http://me:hunter2@a.example:65536", id="port out of range"),
        pytest.param("http://me:hunter2@", id="no host"),
        pytest.param("http://me:hunter2@256.1.1.1:1", id="mistyped address"),
        pytest.param("http://me:hunter2@a..example:1", id="empty label"),
        pytest.param("ftp://me:hunter2@a.example:1", id="other scheme"),
        pytest.param("me:hunter2://a.example:1", id="password instead of a scheme"),
        pytest.param("http://me:hunter2@a.example:1\x00", id="control character"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])
def test_unusable_proxy_url_is_refused_without_quoting_it(variable: str, text: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"^{variable}: not a proxy URL") as caught:
        read({variable: text})
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("scheme", ["socks4", "socks5", "SOCKS5h"])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "http_proxy", "all_proxy"])
def test_socks_proxy_is_refused_by_name(variable: str, scheme: str) -> None:
    with pytest.raises(
        SettingsInvalid, match=f"^{variable}: SOCKS proxies are not supported"
    ) as caught:
        read({variable: f"{scheme}://me:hunter2@127.0.0.1:1"})
    assert "hunter2" not in str(caught.value)


def test_repr_of_a_proxy_shows_no_credentials() -> None:
    proxies = read({"HTTPS_PROXY": "http://user:hunter2@a.example:1"})
    assert "hunter2" not in repr(proxies)
    assert "user" not in repr(proxies)


@given(st.text(), st.text())
def test_any_credentials_survive_quoting(username: str, password: str) -> None:
    proxy = Proxy("http", "a.example", 3128, username, password)
    try:
        url = proxy.url_with_credentials
    except UnicodeEncodeError:  # half a surrogate pair is no text
        return
    assert read({"https_proxy": url}).https == proxy


VARIABLES = st.sampled_from(["HTTPS_PROXY", "http_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy"])
TEXTS = st.text() | st.text(alphabet="ab.:/@[]*,%# 0123456789-", max_size=30)


@given(st.dictionaries(VARIABLES, TEXTS), TEXTS)
def test_any_environment_is_understood_or_refused_in_one_line(
    environ: dict[str, str], host: str
) -> None:
    message, proxies = "", Proxies()
    try:
        proxies = read(environ)
    except SettingsInvalid as error:
        message = str(error)
    assert re.fullmatch(r"([A-Za-z]+_(PROXY|proxy): .*)?", message)
    assert message.isprintable()
    with contextlib.suppress(ValueError):  # of urlsplit: settings hold no such URL
        proxies.for_endpoint(f"https://{host}/")
