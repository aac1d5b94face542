"""Settings of the sidecar: what each means, and what is refused in one line."""

import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from pinecone_token_operator.cli.sidecar import parse
from pinecone_token_operator.config.sidecar_settings import (
    CredentialFiles,
    GivenCredentials,
    MountedToken,
    Output,
)
from pinecone_token_operator.errors import SettingsInvalid

SECRET = "hunter2"
GIVEN = {"PINECONE_CLIENT_ID": "me", "PINECONE_CLIENT_SECRET": SECRET}
FILES = {"PINECONE_CLIENT_ID_FILE": "/run/id", "PINECONE_CLIENT_SECRET_FILE": "/run/secret"}


@pytest.fixture
def output(tmp_path: Path) -> str:
    return f"--output-dir={tmp_path / 'token'}"


def test_defaults_are_those_of_a_sidecar(tmp_path: Path, output: str) -> None:
    settings = parse([output], GIVEN)

    assert settings.output == Output(tmp_path / "token", 0o640, {})
    assert settings.source == GivenCredentials("me", SECRET)
    assert (settings.token_address, settings.health_address, settings.webhook) == (None,) * 3
    assert settings.one_time is None
    assert SECRET not in repr(settings)
    assert not (tmp_path / "token").exists()


def test_credentials_come_from_a_directory_or_from_variables(tmp_path: Path, output: str) -> None:
    by_directory = parse([output, f"--credentials-dir={tmp_path}"], {})
    assert by_directory.source == CredentialFiles(
        tmp_path / "client_id", tmp_path / "client_secret"
    )
    by_variables = parse([output], FILES)
    assert by_variables.source == CredentialFiles(Path("/run/id"), Path("/run/secret"))
    mounted = parse([f"--source-dir={tmp_path}", "--token-address=localhost:8181"], {})
    assert mounted.source == MountedToken(tmp_path)


def test_every_flag_has_an_environment_variable(tmp_path: Path) -> None:
    environ = {
        "PTO_OUTPUT_DIR": str(tmp_path),
        "PTO_FILE_MODE": "0600",
        "PTO_TEMPLATE": "authorization=Bearer ${access_token}\nenv=TOKEN=${access_token},1\n",
        "PTO_TOKEN_ADDRESS": "[::1]:0",
        "PTO_HEALTH_ADDRESS": "0.0.0.0:8081",
        "PTO_WEBHOOK_URL": "http://127.0.0.1:8000/reload",
        "PTO_REFRESH_BEFORE": "12m",
        **GIVEN,
    }
    settings = parse([], environ)

    template = {"authorization": "Bearer ${access_token}", "env": "TOKEN=${access_token},1"}
    assert settings.output == Output(tmp_path, 0o600, template)
    assert settings.token_address == ("::1", 0)
    assert settings.health_address == ("0.0.0.0", 8081)
    assert settings.webhook is not None
    assert settings.webhook.url == "http://127.0.0.1:8000/reload"
    assert settings.refresh_before == timedelta(minutes=12)


def test_one_time_has_a_timeout(output: str) -> None:
    assert parse([output, "--one-time", "--timeout=5"], GIVEN).one_time == timedelta(seconds=5)


def test_repeated_templates_may_contain_commas(output: str) -> None:
    settings = parse([output, "--template=a=1,2", "--template=b=$$"], GIVEN)
    assert settings.output is not None
    assert settings.output.template == {"a": "1,2", "b": "$$"}


@pytest.mark.parametrize(
    ("argv", "environ", "message"),
    [
        pytest.param([], GIVEN, "no output: set --output-dir or --token-address", id="no output"),
        pytest.param(["--output-dir=/tmp"], {}, "no credentials: set --cred", id="no credentials"),
        pytest.param(
            ["--output-dir=/tmp", "--credentials-dir=/tmp"],
            GIVEN,
            "--credentials-dir and PINECONE_CLIENT_ID are both set",
            id="directory and variables",
        ),
        pytest.param(
            ["--source-dir=/tmp", "--credentials-dir=/tmp", "--token-address=localhost:1"],
            {},
            "--credentials-dir and --source-dir are both set",
            id="both sources",
        ),
        pytest.param(
            ["--output-dir=/tmp"],
            GIVEN | FILES,
            "PINECONE_CLIENT_ID and PINECONE_CLIENT_ID_FILE are both set",
            id="value and file",
        ),
        pytest.param(
            ["--output-dir=/tmp"],
            {"PINECONE_CLIENT_SECRET": SECRET},
            "PINECONE_CLIENT_SECRET is set without its counterpart",
            id="half of the credentials",
        ),
        pytest.param(
            ["--source-dir=/tmp"], {}, "--source-dir needs --token-address or", id="idle consumer"
        ),
        pytest.param(
            ["--source-dir=/tmp", "--output-dir=/tmp", "--token-address=localhost:1"],
            {},
            "--output-dir has no effect with --source-dir",
            id="output of a consumer",
        ),
        pytest.param(
            ["--one-time", "--output-dir=/tmp", "--token-address=localhost:1"],
            GIVEN,
            "--token-address has no effect with --one-time",
            id="server that ends at once",
        ),
        pytest.param(["--one-time"], GIVEN, "--one-time needs --output-dir", id="one-time of none"),
        pytest.param(
            ["--template=a=b", "--token-address=localhost:1"],
            GIVEN,
            "--template needs --output-dir",
            id="template without files",
        ),
    ],
)
def test_combination_without_effect_is_refused(
    argv: list[str], environ: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsInvalid, match=re.escape(message)) as caught:
        parse(argv, environ)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "text", "message"),
    [
        pytest.param("output-dir", "/nowhere/below", "no parent directory", id="no parent"),
        pytest.param("output-dir", __file__, "is not a directory", id="file as output"),
        pytest.param("output-dir", " ", "not a path", id="blank path"),
        pytest.param("output-dir", "~nobody-here/x", "unknown user", id="unknown user's home"),
        pytest.param("credentials-dir", "/nowhere", "is not a directory", id="no credentials"),
        pytest.param("source-dir", __file__, "is not a directory", id="file as source"),
        pytest.param("file-mode", "rw-r-----", "not an octal file mode", id="mode in letters"),
        pytest.param("file-mode", "0240", "owner must be able to read", id="write-only"),
        pytest.param("file-mode", "0666", "others must not be able to write", id="world-writable"),
        pytest.param("file-mode", "0755", "nobody to execute", id="executable"),
        pytest.param("template", "authorization", "not KEY=TEXT", id="template without text"),
        pytest.param("template", "..x=1", "not a file name", id="template above the directory"),
        pytest.param("template", "a/b=1", "not a file name", id="template in a sub-directory"),
        pytest.param("template", "access_token=1", "always written", id="the token's own file"),
        pytest.param("template", "a=${secret}", "unknown placeholder", id="unknown placeholder"),
        pytest.param("token-address", "0.0.0.0:8181", "not a loopback", id="all addresses"),
        pytest.param("token-address", "10.0.0.1:8181", "not a loopback", id="other address"),
        pytest.param("token-address", "localhost", "HOST:PORT", id="no port"),
        pytest.param("webhook-url", "http://example.com/", "loopback", id="plain http elsewhere"),
        pytest.param("webhook-url", "https://u:hunter2@a/", "password", id="password"),
        pytest.param("refresh-before", "0s", "from 1s to 24h", id="no margin"),
        pytest.param("timeout", "0", "above 0", id="no time"),
    ],
)
def test_invalid_value_is_refused_in_one_line(flag: str, text: str, message: str) -> None:
    with pytest.raises(SettingsInvalid, match=re.escape(message)) as caught:
        parse([f"--{flag}={text}"], GIVEN)
    assert str(caught.value).startswith(f"--{flag}: ")
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_help_documents_variables_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse(["--help"], {})
    text = capsys.readouterr().out
    for name in ("PTO_OUTPUT_DIR", "PTO_TEMPLATE", "PINECONE_CLIENT_SECRET_FILE"):
        assert name in text
    for code in range(4):
        assert re.search(rf"^  {code}  ", text, re.MULTILINE)


def test_parsing_writes_nothing(tmp_path: Path) -> None:
    before = stat.S_IMODE(tmp_path.stat().st_mode)
    parse([f"--output-dir={tmp_path / 'x'}"], GIVEN)
    assert list(tmp_path.iterdir()) == []
    assert stat.S_IMODE(tmp_path.stat().st_mode) == before
