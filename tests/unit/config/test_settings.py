import re
import subprocess
import sys
from dataclasses import fields
from datetime import timedelta

import pytest

from pinecone_token_operator.config.settings import LeaderElection, Settings, parse
from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.errors import SettingsInvalid
from tests.support.repository import ROOT


def test_without_flags_and_variables_the_defaults_are_those_of_the_reference() -> None:
    assert parse([], {}) == Settings(
        token_url="https://login.pinecone.io/oauth/token",
        audience="https://api.pinecone.io/",
        api_version="2025-04",
        ca_bundle=None,
        namespaces=(),
        kubeconfig=None,
        context=None,
        max_concurrent_exchanges=16,
        health_host="0.0.0.0",
        health_port=8080,
        log_level="info",
        log_format="auto",
        resync_interval=timedelta(minutes=10),
        keep_tokens=timedelta(),
        leader_election=None,
        shard=Shard(0, 1),
    )


def test_each_shard_has_a_lease_of_its_own() -> None:
    argv = ["--leader-elect", "--leader-election-namespace=ops"]
    leases = set()
    for index in range(3):
        settings = parse([*argv, f"--shard={index}/3"], {})
        assert settings.shard == Shard(index, 3)
        assert settings.leader_election is not None
        leases.add(settings.leader_election.name)
    assert len(leases) == 3


def test_leader_election_has_the_usual_times() -> None:
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
        pytest.param([], {"PTO_LEADER_ELECT": "True"}, True, id="by a variable"),
        pytest.param([], {"PTO_LEADER_ELECT": "false"}, False, id="not by a variable"),
        pytest.param(["--no-leader-elect"], {"PTO_LEADER_ELECT": "true"}, False, id="a flag wins"),
    ],
)
def test_leader_election_is_switched(
    argv: list[str], environ: dict[str, str], *, elects: bool
) -> None:
    environ = {"PTO_LEADER_ELECTION_NAMESPACE": "ops", **environ}
    assert (parse(argv, environ).leader_election is not None) == elects


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param([], "--leader-election-namespace: is needed", id="no namespace"),
        pytest.param(
            ["--leader-election-namespace=ops", "--leader-election-renew-deadline=15s"],
            "--leader-election-renew-deadline: must be less than --leader-election-lease-duration",
            id="a leader that goes on while another begins",
        ),
        pytest.param(
            ["--leader-election-namespace=ops", "--leader-election-retry-period=6s"],
            "--leader-election-retry-period: must be at most half",
            id="too few tries",
        ),
        pytest.param(
            ["--leader-election-namespace=ops", "--leader-election-lease-name=My_Lease"],
            "--leader-election-lease-name: 'My_Lease' is not a Kubernetes name",
            id="no name",
        ),
    ],
)
def test_leader_election_is_refused_where_it_could_not_work(argv: list[str], message: str) -> None:
    with pytest.raises(SettingsInvalid, match=re.escape(message)):
        parse(["--leader-elect", *argv], {})


@pytest.mark.parametrize(
    ("argv", "environ", "field", "value"),
    [
        pytest.param(["--audience", "a"], {"PTO_AUDIENCE": "b"}, "audience", "a", id="a flag wins"),
        pytest.param([], {"PTO_AUDIENCE": "b"}, "audience", "b", id="a variable is read"),
        pytest.param([], {"PTO_API_VERSION": ""}, "api_version", "2025-04", id="empty is unset"),
        pytest.param(
            ["--namespace", "b", "--namespace=a"], {}, "namespaces", ("b", "a"), id="flags add up"
        ),
        pytest.param(
            [], {"PTO_NAMESPACE": "a, b,a"}, "namespaces", ("a", "b"), id="commas separate names"
        ),
        pytest.param(
            ["--namespace", "c"], {"PTO_NAMESPACE": "a"}, "namespaces", ("c",), id="flags replace"
        ),
        pytest.param(
            ["--token-url", "http://127.0.0.1:1/t"],
            {},
            "token_url",
            "http://127.0.0.1:1/t",
            id="plain http on IPv4 loopback",
        ),
        pytest.param(
            ["--token-url", "http://[::1]/t"],
            {},
            "token_url",
            "http://[::1]/t",
            id="plain http on IPv6 loopback",
        ),
        pytest.param(
            ["--token-url", "http://localhost/t"],
            {},
            "token_url",
            "http://localhost/t",
            id="plain http on localhost",
        ),
        pytest.param(
            ["--health-address", "[::]:0"], {}, "health_host", "::", id="IPv6 in brackets"
        ),
        pytest.param(["--log-level", "DEBUG"], {}, "log_level", "debug", id="any case of a level"),
        pytest.param(
            ["--resync-interval", "1h30m5s"],
            {},
            "resync_interval",
            timedelta(hours=1, minutes=30, seconds=5),
            id="a duration of three units",
        ),
    ],
)
def test_a_setting_comes_from(
    argv: list[str], environ: dict[str, str], field: str, value: object
) -> None:
    assert getattr(parse(argv, environ), field) == value


@pytest.mark.parametrize(
    ("flag", "text", "message"),
    [
        pytest.param("token-url", "login.pinecone.io", "https URL", id="a URL without scheme"),
        pytest.param("token-url", "ftp://a/b", "https URL", id="a URL of another scheme"),
        pytest.param("token-url", "https:///b", "https URL", id="a URL without host"),
        pytest.param("token-url", "https://a:x/b", "not a URL", id="a URL with a worded port"),
        pytest.param("token-url", "https://[::1/b", "not a URL", id="a URL with half a bracket"),
        pytest.param("token-url", "https://a/b\n", "control", id="a URL with a line break"),
        pytest.param("token-url", "https://a/b#c", "fragment", id="a URL with a fragment"),
        pytest.param("token-url", "http://pinecone.io/", "loopback", id="plain http elsewhere"),
        pytest.param("token-url", "http://127.0.0.1.a.io/", "loopback", id="a loopback look-alike"),
        pytest.param("token-url", "https://u:hunter2@a/", "password", id="a URL with a password"),
        pytest.param("token-url", "", "https URL", id="an empty URL"),
        pytest.param("audience", " ", "blank", id="a blank audience"),
        pytest.param("api-version", "2025 04", "2025-04", id="a version with a blank"),
        pytest.param("ca-bundle", "/nowhere.pem", "not a file", id="an absent CA bundle"),
        pytest.param("ca-bundle", __file__, "no certificates", id="a CA bundle that is no PEM"),
        pytest.param("kubeconfig", "/nowhere", "not a file", id="an absent kubeconfig"),
        pytest.param("context", " ", "blank", id="a blank context"),
        pytest.param("namespace", "Team_A", "'Team_A' is not a namespace", id="a wrong namespace"),
        pytest.param("namespace", "a" * 64, "at most 63", id="a namespace name too long"),
        pytest.param("namespace", "", "not a namespace", id="an empty namespace, never all"),
        pytest.param("namespace", "a,,b", "not a namespace", id="a namespace left out"),
        pytest.param("max-concurrent-exchanges", "0", "from 1", id="no exchange at all"),
        pytest.param("max-concurrent-exchanges", "1025", "to 1024", id="too many exchanges"),
        pytest.param("max-concurrent-exchanges", "many", "whole number", id="a worded number"),
        pytest.param("health-address", "8080", "HOST:PORT", id="a port alone"),
        pytest.param("health-address", ":8080", "HOST:PORT", id="no host"),
        pytest.param("health-address", "::1:80", "HOST:PORT", id="IPv6 without brackets"),
        pytest.param("health-address", "a:65536", "65535", id="a port out of range"),
        pytest.param("log-level", "loud", "debug, info", id="an unknown level"),
        pytest.param("shard", "2", "INDEX/COUNT", id="a shard of an unknown number"),
        pytest.param("shard", "4/4", "from 0 to 3", id="a shard beyond the last"),
        pytest.param("shard", "0/0", "from 1 to 1000", id="no shards"),
        pytest.param("log-format", "xml", "auto, json, text", id="an unknown format"),
        pytest.param("resync-interval", "600", "not a duration", id="a duration without unit"),
        pytest.param("resync-interval", "", "not a duration", id="an empty duration"),
        pytest.param("resync-interval", "9s", "from 10s to 24h", id="a resync too often"),
        pytest.param("resync-interval", "25h", "from 10s to 24h", id="a resync too rare"),
    ],
)
def test_refused_in_one_line_that_names_the_setting(flag: str, text: str, message: str) -> None:
    with pytest.raises(SettingsInvalid, match=re.escape(message)) as by_flag:
        parse([f"--{flag}={text}"], {})
    assert str(by_flag.value).startswith(f"--{flag}: ")
    assert "\n" not in str(by_flag.value)
    assert "hunter2" not in str(by_flag.value)
    if text:
        variable = "PTO_" + flag.upper().replace("-", "_")
        with pytest.raises(SettingsInvalid, match=f"^{variable}: "):
            parse([], {variable: text})


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["--unknown"], id="an unknown flag"),
        pytest.param(["--audience"], id="a flag without value"),
        pytest.param(["--aud", "x"], id="a shortened flag"),
        pytest.param(["extra"], id="an argument too many"),
    ],
)
def test_a_command_line_that_does_not_parse_is_a_setting_that_cannot_be_used(
    argv: list[str],
) -> None:
    with pytest.raises(SettingsInvalid, match="see --help"):
        parse(argv, {})


def test_help_documents_every_flag_its_variable_and_the_exit_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse(["--help"], {})
    text = capsys.readouterr().out
    flags = {field.name for field in fields(Settings)} - {
        "health_host",
        "health_port",
        "namespaces",
        "leader_election",
    }
    flags |= {"health_address", "namespace", "leader_elect", "leader_election_lease_name"}
    flags |= {f"leader_election_{field.name}" for field in fields(LeaderElection)} - {
        "leader_election_name"
    }
    for name in flags:
        assert re.search(rf"--{name.replace('_', '-')}\b", text)
        assert f"PTO_{name.upper()}" in text
    for code in range(5):
        assert re.search(rf"^  {code}  ", text, re.MULTILINE)


def test_the_program_leaves_with_2_and_one_line_when_a_setting_cannot_be_used() -> None:
    folder = ROOT / "operator"
    done = subprocess.run(
        [sys.executable, "-m", "pinecone_token_operator.cli.main", "run", "--resync-interval=soon"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "pinecone-token-operator: --resync-interval: 'soon' is not a duration: use hours, minutes"
        " and seconds, such as 1h30m or 90s\n"
    )
