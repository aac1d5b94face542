import re
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from pinecone_token_operator.cli.run import parse
from pinecone_token_operator.config.proxies import Proxy
from pinecone_token_operator.config.settings import (
    ClusterTokens,
    Endpoint,
    LeaderElection,
    Settings,
)
from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.errors import SettingsInvalid
from tests.support.certificates import make_certificates


def test_defaults_are_those_of_the_reference() -> None:
    assert parse([], {}) == Settings(
        endpoint=Endpoint(
            token_url="https://login.pinecone.io/oauth/token",
            audience="https://api.pinecone.io/",
            api_version="2025-04",
            ca_bundle=None,
        ),
        namespaces=(),
        kubeconfig=None,
        context=None,
        max_concurrent_exchanges=16,
        health_host="",
        health_port=8080,
        log_level="info",
        log_format="auto",
        resync_interval=timedelta(minutes=10),
        keep_tokens=timedelta(),
        leader_election=None,
        shard=Shard(0, 1),
    )


def test_shards_have_different_leases() -> None:
    argv = ["--leader-elect", "--leader-election-namespace=ops"]
    leases = set()
    for index in range(3):
        settings = parse([*argv, f"--shard={index}/3"], {})
        assert settings.shard == Shard(index, 3)
        assert settings.leader_election is not None
        leases.add(settings.leader_election.name)
    assert len(leases) == 3


def test_leader_election_defaults_to_client_gos_timing() -> None:
    assert parse(["--leader-elect", "--leader-election-namespace=ops"], {}).leader_election == (
        LeaderElection(
            name="pinecone-token-operator",
            namespace="ops",
            lease_duration=timedelta(seconds=15),
            renew_deadline=timedelta(seconds=10),
            retry_period=timedelta(seconds=2),
        )
    )


@pytest.mark.parametrize(
    ("argv", "environ", "elects"),
    [
        pytest.param([], {"PTO_LEADER_ELECT": "True"}, True, id="variable on"),
        pytest.param([], {"PTO_LEADER_ELECT": "false"}, False, id="variable off"),
        pytest.param(["--no-leader-elect"], {"PTO_LEADER_ELECT": "true"}, False, id="flag wins"),
    ],
)
def test_leader_election_is_enabled_by_flag_or_variable(
    argv: list[str], environ: dict[str, str], *, elects: bool
) -> None:
    environ = {"PTO_LEADER_ELECTION_NAMESPACE": "ops", **environ}
    assert (parse(argv, environ).leader_election is not None) == elects


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param([], "--leader-election-namespace is required", id="no namespace"),
        pytest.param(
            ["--leader-election-namespace=ops", "--leader-election-renew-deadline=15s"],
            "--leader-election-renew-deadline must be less than --leader-election-lease-duration",
            id="deadline as long as the lease",
        ),
        pytest.param(
            ["--leader-election-namespace=ops", "--leader-election-retry-period=6s"],
            "--leader-election-retry-period must be at most half",
            id="one attempt per deadline",
        ),
        pytest.param(
            ["--leader-election-namespace=ops", "--leader-election-lease-name=My_Lease"],
            "--leader-election-lease-name: 'My_Lease' is not a Kubernetes name",
            id="invalid Lease name",
        ),
    ],
)
def test_leader_election_is_refused_when_it_could_not_work(argv: list[str], message: str) -> None:
    with pytest.raises(SettingsInvalid, match=re.escape(message)):
        parse(["--leader-elect", *argv], {})


@pytest.mark.parametrize(
    ("argv", "environ", "field", "value"),
    [
        pytest.param(["--context", "a"], {"PTO_CONTEXT": "b"}, "context", "a", id="flag wins"),
        pytest.param([], {"PTO_CONTEXT": "b"}, "context", "b", id="variable is read"),
        pytest.param([], {"PTO_LOG_LEVEL": ""}, "log_level", "info", id="empty is unset"),
        pytest.param(
            ["--namespace", "b", "--namespace=a"], {}, "namespaces", ("b", "a"), id="flag repeats"
        ),
        pytest.param(
            [], {"PTO_NAMESPACE": "a, b,a"}, "namespaces", ("a", "b"), id="commas separate names"
        ),
        pytest.param(
            ["--namespace", "c"],
            {"PTO_NAMESPACE": "a"},
            "namespaces",
            ("c",),
            id="flags replace the variable",
        ),
        pytest.param(
            ["--health-address", "[::]:0"], {}, "health_host", "::", id="IPv6 in brackets"
        ),
        pytest.param(["--log-level", "DEBUG"], {}, "log_level", "debug", id="level in any case"),
        pytest.param(
            ["--resync-interval", "1h30m5s"],
            {},
            "resync_interval",
            timedelta(hours=1, minutes=30, seconds=5),
            id="duration of three units",
        ),
    ],
)
def test_setting_has_the_value_of(
    argv: list[str], environ: dict[str, str], field: str, value: object
) -> None:
    assert getattr(parse(argv, environ), field) == value


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/t", "http://[::1]/t", "http://localhost/t", "https://a.example/t"]
)
def test_token_url_may_be_plain_http_on_loopback_only(url: str) -> None:
    assert parse([f"--token-url={url}"], {}).endpoint.token_url == url


@pytest.mark.parametrize(
    ("flag", "text", "message"),
    [
        pytest.param("token-url", "login.pinecone.io", "https URL", id="no scheme"),
        pytest.param("token-url", "ftp://a/b", "https URL", id="wrong scheme"),
        pytest.param("token-url", "https:///b", "https URL", id="no host"),
        pytest.param("token-url", "https://a:x/b", "not a URL", id="port that is not a number"),
        pytest.param("token-url", "https://[::1/b", "not a URL", id="unbalanced bracket"),
        pytest.param("token-url", "https://a/b\n", "control", id="line break"),
        pytest.param("token-url", "https://a/b#c", "fragment", id="fragment"),
        pytest.param("token-url", "http://pinecone.io/", "loopback", id="plain http elsewhere"),
        pytest.param("token-url", "http://127.0.0.1.a.io/", "loopback", id="loopback look-alike"),
        pytest.param("token-url", "https://u:hunter2@a/", "password", id="password"),
        pytest.param("token-url", "", "https URL", id="empty URL"),
        pytest.param("audience", " ", "must not be empty", id="blank audience"),
        pytest.param("api-version", "2025 04", "2025-04", id="space in the version"),
        pytest.param("ca-bundle", "/nowhere.pem", "not a file", id="missing CA bundle"),
        pytest.param("ca-bundle", __file__, "no certificates", id="CA bundle without PEM"),
        pytest.param("kubeconfig", "/nowhere", "not a file", id="missing kubeconfig"),
        pytest.param("context", " ", "blank", id="blank context"),
        pytest.param("namespace", "Team_A", "'Team_A' is not a namespace", id="invalid namespace"),
        pytest.param("namespace", "a" * 64, "at most 63", id="namespace name too long"),
        pytest.param(
            "namespace", "", "not a namespace", id="empty namespace, which never means all"
        ),
        pytest.param("namespace", "a,,b", "not a namespace", id="empty item in the list"),
        pytest.param("max-concurrent-exchanges", "0", "from 1", id="zero exchanges"),
        pytest.param("max-concurrent-exchanges", "1025", "to 1024", id="too many exchanges"),
        pytest.param("max-concurrent-exchanges", "many", "whole number", id="number in words"),
        pytest.param("health-address", "8080", "HOST:PORT", id="port without host"),
        pytest.param("health-address", " :8080", "HOST:PORT", id="blank host"),
        pytest.param("health-address", "[]:8080", "HOST:PORT", id="empty host in brackets"),
        pytest.param("health-address", "::1:80", "HOST:PORT", id="IPv6 without brackets"),
        pytest.param("health-address", "a:65536", "65535", id="port out of range"),
        pytest.param("log-level", "loud", "debug, info", id="unknown level"),
        pytest.param("shard", "2", "INDEX/COUNT", id="shard without count"),
        pytest.param("shard", "4/4", "from 0 to 3", id="shard index out of range"),
        pytest.param("shard", "0/0", "from 1 to 1000", id="zero shards"),
        pytest.param("log-format", "xml", "auto, json, text", id="unknown format"),
        pytest.param("resync-interval", "600", "not a duration", id="duration without unit"),
        pytest.param("resync-interval", "", "not a duration", id="empty duration"),
        pytest.param("resync-interval", "9s", "from 10s to 24h", id="resync interval too short"),
        pytest.param("resync-interval", "25h", "from 10s to 24h", id="resync interval too long"),
    ],
)
def test_invalid_value_is_refused_in_one_line_naming_the_setting(
    flag: str, text: str, message: str
) -> None:
    with pytest.raises(SettingsInvalid, match=re.escape(message)) as by_flag:
        parse([f"--{flag}={text}"], {})
    assert str(by_flag.value).startswith(f"--{flag}: ")
    assert "\n" not in str(by_flag.value)
    assert "hunter2" not in str(by_flag.value)
    if text:
        variable = "PTO_" + flag.upper().replace("-", "_")
        with pytest.raises(SettingsInvalid, match=f"^{variable}: "):
            parse([], {variable: text})


def test_endpoint_has_proxy_and_certificates_of_the_environment(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    certificates = str(tmp_path / "ca.pem")
    directory = tmp_path / "hashed"
    directory.mkdir()
    (directory / "0a1b2c3d.0").touch()
    environ = {
        "HTTPS_PROXY": "http://proxy.example.com:3128",
        "SSL_CERT_FILE": certificates,
        "SSL_CERT_DIR": str(directory),
    }
    endpoint = parse([], environ).endpoint
    assert endpoint.proxy == Proxy("http", "proxy.example.com", 3128)
    assert endpoint.ca_bundle == tmp_path / "ca.pem"
    assert endpoint.ca_directory == str(directory)

    # The flag replaces the variables, which then do not matter.
    unused = {"SSL_CERT_FILE": "/nowhere.pem", "SSL_CERT_DIR": "/nowhere"}
    endpoint = parse([f"--ca-bundle={certificates}"], unused).endpoint
    assert (endpoint.ca_bundle, endpoint.ca_directory) == (tmp_path / "ca.pem", None)


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("SSL_CERT_FILE", "/nowhere.pem", "'/nowhere.pem' is not a file"),
        ("SSL_CERT_FILE", __file__, "contains no certificates in PEM format"),
        ("SSL_CERT_DIR", "/nowhere", "contains no certificates with hashed names"),
        ("SSLKEYLOGFILE", "/nowhere/keys", "cannot be written"),
        ("HTTPS_PROXY", "socks5://u:hunter2@127.0.0.1:1", "SOCKS proxies are not supported"),
        ("all_proxy", "http://u:hun/ter2@a.example", "not a proxy URL"),
        ("NO_PROXY", "fd00::/200", "is not a host name, IP address or network"),
    ],
)
def test_unusable_variable_of_the_environment_is_named(
    variable: str, text: str, message: str
) -> None:
    with pytest.raises(SettingsInvalid, match=f"^{variable}: .*{re.escape(message)}") as caught:
        parse([], {variable: text})
    assert "ter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param(
            ["--leader-elects"],
            "unknown flag '--leader-elects'; did you mean --leader-elect?",
            id="typo",
        ),
        pytest.param(["--aud", "x"], "unknown flag '--aud'", id="abbreviated flag"),
        pytest.param(["--zzz=https://u:hunter2@a/"], "unknown flag '--zzz'", id="unknown flag"),
        pytest.param(["--audience"], "--audience needs a value", id="flag without value"),
        pytest.param(["--leader-elect=hunter2"], "takes no value", id="switch with a value"),
        pytest.param(["extra"], "unexpected argument 'extra'", id="positional argument"),
        pytest.param(["https://u:hunter2@a/"], "unexpected argument", id="URL without its flag"),
    ],
)
def test_command_line_error_is_one_line_without_values(argv: list[str], message: str) -> None:
    with pytest.raises(SettingsInvalid, match=re.escape(message)) as caught:
        parse(argv, {})
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_help_documents_every_flag_variable_and_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse(["--help"], {})
    text = capsys.readouterr().out
    names = {field.name for kind in (Settings, Endpoint) for field in fields(kind)}
    names -= {
        "endpoint",
        "ca_directory",
        "proxy",
        "health_host",
        "health_port",
        "namespaces",
        "leader_election",
        "cluster_tokens",
    }
    names |= {"enable_cluster_access_tokens", "cluster_resource_namespace"}
    names |= {"health_address", "namespace", "leader_elect", "leader_election_lease_name"}
    names |= {f"leader_election_{field.name}" for field in fields(LeaderElection)} - {
        "leader_election_name"
    }
    for name in names:
        assert re.search(rf"--{name.replace('_', '-')}\b", text)
        assert f"PTO_{name.upper()}" in text
    for code in range(5):
        assert re.search(rf"^  {code}  ", text, re.MULTILINE)


def test_cluster_tokens_are_off_by_default() -> None:
    assert parse([], {}).cluster_tokens is None
    assert parse(["--cluster-resource-namespace=accounts"], {}).cluster_tokens is None


def test_cluster_tokens_need_a_namespace_outside_a_pod() -> None:
    enabled = "--enable-cluster-access-tokens"
    with pytest.raises(SettingsInvalid, match="--cluster-resource-namespace is required"):
        parse([enabled], {})
    settings = parse([enabled, "--cluster-resource-namespace=accounts"], {})
    assert settings.cluster_tokens == ClusterTokens("accounts")
