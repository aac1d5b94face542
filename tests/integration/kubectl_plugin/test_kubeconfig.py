"""What a kubeconfig may hold: certificates, exec credentials, proxies, several contexts."""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.api import Kube
from tests.support.certificates import make_client_certificate
from tests.support.cluster import Cluster
from tests.support.crd import cluster_with_crd
from tests.support.http_proxy import HttpProxy
from tests.support.kubectl_plugin import Plugin

NAME = "search"
# Two names of the API server; its certificate has the second.
OUTSIDE, INSIDE = "api.cluster.example", "kubernetes.default.svc"
EXEC_VERSION = "client.authentication.k8s.io/v1"

Config = dict[str, Any]
Write = Callable[[Config], Plugin]

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of an administrator's client certificate."""
    directory = tmp_path_factory.mktemp("client")
    make_client_certificate(directory, "somebody", "system:masters")
    return directory


@pytest.fixture(scope="module")
def own_cluster(
    certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Cluster, Kube]]:
    """Run a cluster that accepts the client certificate, with a resource."""
    flags = {"client-ca-file": str(certificate / "client-ca.pem")}
    directory = tmp_path_factory.mktemp("own-cluster")
    with cluster_with_crd(directory, audit=False, flags=flags) as cluster, Kube(cluster) as kube:
        kube.create_token("default", NAME)
        yield cluster, kube


@pytest.fixture
def config(own_cluster: tuple[Cluster, Kube]) -> Config:
    """Return a kubeconfig with a token, to be changed."""
    found: Config = yaml.safe_load(own_cluster[0].kubeconfig.read_text("utf-8"))
    return found


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(config: Config) -> Plugin:
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config), "utf-8")
        return Plugin(path, tmp_path, "default", forked=True)

    return write


def set_user(config: Config, user: Config) -> None:
    config["users"][0]["user"] = user


def cluster_of(config: Config) -> Config:
    found: Config = config["clusters"][0]["cluster"]
    return found


def login(directory: Path, program: str) -> Config:
    """Return a user who logs in with a program, which is Python."""
    path = directory / "login"
    path.write_text(f"#!{sys.executable}\n{program}\n", "utf-8")
    path.chmod(0o755)
    plugin = {"apiVersion": EXEC_VERSION, "command": "./login", "interactiveMode": "Never"}
    return {"exec": plugin}


def prints(status: Config) -> str:
    reply = {"apiVersion": EXEC_VERSION, "kind": "ExecCredential", "status": status}
    return f"print({json.dumps(reply)!r})"


def assert_shows(plugin: Plugin, name: str = NAME, *flags: str, **environ: str) -> None:
    done = plugin.run_as_is("status", *flags, **environ)

    assert (done.returncode, done.stderr) == (1, "")  # no operator has set a status
    assert f" {name} " in done.stdout


def assert_fails(plugin: Plugin, code: int, line: str, **environ: str) -> None:
    done = plugin.run_as_is("status", **environ)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("kubectl pinecone-token: ")
    assert done.stderr.count("\n") == 1
    assert line in done.stderr


def test_client_certificate_in_files_authenticates(
    certificate: Path, config: Config, write: Write, tmp_path: Path
) -> None:
    for name in ("client.pem", "client.key"):
        (tmp_path / name).write_bytes((certificate / name).read_bytes())
    # Relative to the kubeconfig.
    set_user(config, {"client-certificate": "client.pem", "client-key": "client.key"})

    assert_shows(write(config))


def test_client_certificate_in_the_kubeconfig_authenticates(
    certificate: Path, config: Config, write: Write
) -> None:
    pair = {"certificate": "client.pem", "key": "client.key"}
    set_user(
        config,
        {
            f"client-{what}-data": base64.b64encode((certificate / file).read_bytes()).decode()
            for what, file in pair.items()
        },
    )

    assert_shows(write(config))


def test_client_certificate_without_its_key_is_refused(
    certificate: Path, config: Config, write: Write
) -> None:
    set_user(config, {"client-certificate": str(certificate / "client.pem")})

    assert_fails(write(config), 2, "the kubeconfig's client certificate cannot be used")


def test_exec_plugin_provides_a_client_certificate(
    certificate: Path, config: Config, write: Write, tmp_path: Path
) -> None:
    files = {"clientCertificateData": "client.pem", "clientKeyData": "client.key"}
    status = {field: (certificate / file).read_text() for field, file in files.items()}
    set_user(config, login(tmp_path, prints(status)))

    assert_shows(write(config))


def test_exec_plugin_is_passed_the_cluster_arguments_and_env(
    own_cluster: tuple[Cluster, Kube], config: Config, write: Write, tmp_path: Path
) -> None:
    cluster, _ = own_cluster
    program = (
        "import json, os, sys\n"
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "spec = info['spec']\n"
        f"assert spec['cluster']['server'] == {cluster.url!r}\n"
        "assert spec['cluster']['certificate-authority-data']\n"
        "assert (spec['interactive'], sys.argv[1:]) == (False, ['--for', 'me'])\n"
        "token = os.environ['GIVEN']\n"
        f"print(json.dumps({{**info, 'status': {{'token': token}}}}))"
    )
    user = login(tmp_path, program)
    user["exec"] |= {
        "args": ["--for", "me"],
        "env": [{"name": "GIVEN", "value": cluster.token}],
        "provideClusterInfo": True,
    }
    set_user(config, user)

    assert_shows(write(config))


def test_exec_plugin_that_fails_is_reported_without_its_output(
    config: Config, write: Write, tmp_path: Path
) -> None:
    set_user(config, login(tmp_path, "print('hunter2'); raise SystemExit(7)"))

    assert_fails(write(config), 2, "exec plugin 'login' failed with exit code 7\n")


def test_token_file_authenticates(
    own_cluster: tuple[Cluster, Kube], config: Config, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{own_cluster[0].token}\n", "ascii")
    set_user(config, {"tokenFile": "token"})

    assert_shows(write(config))


def test_rejected_token_fails_in_one_line(config: Config, write: Write) -> None:
    set_user(config, {"token": "expired"})

    assert_fails(write(config), 3, "Unauthorized (401 Unauthorized)\n")


def test_proxy_of_the_environment_is_used(
    own_cluster: tuple[Cluster, Kube], config: Config, write: Write
) -> None:
    # Not a loopback address, which has no proxy.
    cluster_of(config).update({"server": f"https://{OUTSIDE}", "tls-server-name": INSIDE})
    address = own_cluster[0].url.removeprefix("https://")
    with HttpProxy(routes={f"{OUTSIDE}:443": address}) as proxy:
        assert_shows(write(config), HTTPS_PROXY=proxy.url)
        assert proxy.targets == [f"{OUTSIDE}:443"]


def test_proxy_of_the_kubeconfig_wins_over_the_environment(
    own_cluster: tuple[Cluster, Kube], config: Config, write: Write
) -> None:
    address = own_cluster[0].url.removeprefix("https://")
    with HttpProxy(credentials=("me", "word")) as proxy:
        cluster_of(config)["proxy-url"] = proxy.url.replace("//", "//me:word@")
        # Also for a loopback address, as kubectl does.
        assert_shows(write(config), HTTPS_PROXY="http://127.0.0.1:1", NO_PROXY="127.0.0.1")
        assert proxy.targets == [address]


def test_proxy_that_refuses_is_reported_without_its_password(config: Config, write: Write) -> None:
    with HttpProxy(credentials=("me", "word")) as proxy:
        cluster_of(config)["proxy-url"] = proxy.url.replace("//", "//me:hunter2@")
        plugin = write(config)

        assert_fails(plugin, 3, "Tunnel connection failed: 407 Proxy Authentication Required\n")
        assert "hunter2" not in plugin.run_as_is("status").stderr


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("socks5://127.0.0.1:1", "the kubeconfig's proxy-url: SOCKS proxies are not supported"),
        ("https://127.0.0.1:1", "only https servers behind an http proxy are supported"),
    ],
)
def test_proxy_that_is_not_supported_is_refused(
    url: str, line: str, config: Config, write: Write
) -> None:
    cluster_of(config)["proxy-url"] = url

    assert_fails(write(config), 2, line)


def test_certificate_is_verified_unless_the_kubeconfig_skips_it(
    config: Config, write: Write
) -> None:
    del cluster_of(config)["certificate-authority-data"]

    assert_fails(write(config), 3, "certificate verify failed")
    cluster_of(config)["insecure-skip-tls-verify"] = True
    assert_shows(write(config))


def test_server_name_of_the_certificate_can_be_set(config: Config, write: Write) -> None:
    cluster_of(config)["tls-server-name"] = "other.example"

    assert_fails(write(config), 3, "certificate is not valid for 'other.example'")
    cluster_of(config)["tls-server-name"] = INSIDE
    assert_shows(write(config))


def test_context_chooses_cluster_and_namespace(
    own_cluster: tuple[Cluster, Kube], config: Config, write: Write
) -> None:
    _, kube = own_cluster
    kube.create_token("kube-public", "elsewhere")
    broken = {"name": "broken", "cluster": {"server": "https://127.0.0.1:1"}}
    config["clusters"].append(broken)
    config["contexts"] += [
        {
            "name": "there",
            "context": {**config["contexts"][0]["context"], "namespace": "kube-public"},
        },
        {"name": "broken", "context": {"cluster": "broken", "user": "user"}},
    ]
    config["current-context"] = "broken"
    plugin = write(config)

    assert_shows(plugin, "elsewhere", "--context=there")
    assert_shows(plugin, NAME, "--context", "tests")
    assert_shows(plugin, NAME, "--context=there", "-n", "default")
    assert_fails(plugin, 3, "no connection to 127.0.0.1:1: ")
    unknown = plugin.run_as_is("status", "--context=none")
    assert unknown.returncode == 2
    assert unknown.stderr == (
        "kubectl pinecone-token: --context: the kubeconfig has no context 'none'; it has broken,"
        " tests, there\n"
    )


def test_kind_that_the_cluster_lacks_fails_in_one_line(config: Config, write: Write) -> None:
    done = write(config).run("status", "cpat/none")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "kubectl pinecone-token: the cluster does not have this kind of resource; install the"
        " operator with the Helm chart\n"
    )
