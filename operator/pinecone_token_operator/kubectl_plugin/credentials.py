"""The user's credentials: a token, a password, a client certificate, or an exec plugin's reply.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pinecone_token_operator.errors import SettingsInvalid
from pinecone_token_operator.kubectl_plugin.kubeconfig import Access, decode_data

_EXEC_VERSIONS: Final = (
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to authenticate.

    Attributes:
        authorization: the value of the header `Authorization`; empty if there is none.
        certificate: the client certificate in PEM; empty if there is none.
        key: its private key in PEM.
    """

    authorization: str = field(default="", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)


def find_credentials(access: Access, environ: Mapping[str, str]) -> Credentials:
    """Return the credentials of a context; runs its exec plugin if it has one.

    Raises:
        SettingsInvalid: they cannot be used. The message never quotes them.
    """
    user = access.user
    certificate = _pem(user, "client-certificate")
    key = _pem(user, "client-key")
    if user.get("tokenFile"):
        token = _read(str(user["tokenFile"])).decode("utf-8", "replace")
        return Credentials(_bearer(token), certificate, key)
    if user.get("token"):
        return Credentials(_bearer(str(user["token"])), certificate, key)
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        return Credentials(f"Basic {base64.b64encode(pair).decode()}", certificate, key)
    if isinstance(user.get("exec"), dict):
        return _from_plugin(access, user["exec"], environ)
    if user.get("auth-provider"):
        raise SettingsInvalid(
            "the kubeconfig's user has an auth-provider, which kubectl is phasing out; use an exec"
            " plugin, such as kubelogin for OIDC"
        )
    return Credentials("", certificate, key)


def read_authority(cluster: Mapping[str, Any]) -> bytes:
    """Return the CA certificates of a cluster in PEM; empty if it names none.

    Raises:
        SettingsInvalid: they cannot be read.
    """
    return _pem(cluster, "certificate-authority")


def _bearer(token: str) -> str:
    token = token.strip()
    if not token.isascii() or not token.isprintable():
        raise SettingsInvalid("the kubeconfig's user has a token that no HTTP header can carry")
    return f"Bearer {token}" if token else ""


def _pem(entry: Mapping[str, Any], name: str) -> bytes:
    if entry.get(f"{name}-data"):
        return decode_data(entry[f"{name}-data"], f"{name}-data")
    return _read(str(entry[name])) if entry.get(name) else b""


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # a ValueError for a path with a null byte
        cause = error.strerror if isinstance(error, OSError) else "it is not a path"
        raise SettingsInvalid(
            f"the kubeconfig names {path!r}, which cannot be read: {cause}"
        ) from None


def _from_plugin(
    access: Access, plugin: Mapping[str, Any], environ: Mapping[str, str]
) -> Credentials:
    command, version = str(plugin.get("command") or ""), plugin.get("apiVersion")
    if version not in _EXEC_VERSIONS:
        raise SettingsInvalid(
            f"the kubeconfig's exec plugin has an unknown apiVersion; use {_EXEC_VERSIONS[0]}"
        )
    interactive = plugin.get("interactiveMode") != "Never" and sys.stdin.isatty()
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.get("provideClusterInfo"):
        spec["cluster"] = _cluster_info(access)
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    added = {str(each.get("name")): str(each.get("value", "")) for each in _items(plugin, "env")}
    arguments = plugin.get("args")
    try:
        done = subprocess.run(  # noqa: S603 - the user's own kubeconfig names it
            [command, *(map(str, arguments) if isinstance(arguments, list) else ())],
            env={**environ, **added, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
        )
    except (OSError, ValueError) as error:  # a ValueError for a null byte
        cause = error.strerror if isinstance(error, OSError) else "it is not a command"
        hint = " ".join(str(plugin.get("installHint") or "").split())
        raise SettingsInvalid(
            f"the kubeconfig's exec plugin {os.path.basename(command)!r} cannot be run:"  # noqa: PTH119 - may be no path
            f" {cause}" + (f" ({hint})" if hint else "")
        ) from None
    if done.returncode != 0:
        raise SettingsInvalid(
            f"the kubeconfig's exec plugin {os.path.basename(command)!r} failed"  # noqa: PTH119 - may be no path
            f" with exit code {done.returncode}"
        )
    return _parse_reply(done.stdout)


def _parse_reply(reply: bytes) -> Credentials:
    try:
        status = json.loads(reply)["status"]
        token = status.get("token") or ""
        certificate = str(status.get("clientCertificateData") or "").encode()
        key = str(status.get("clientKeyData") or "").encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        # Not chained: the reply holds a token.
        raise SettingsInvalid(
            "the kubeconfig's exec plugin did not print an ExecCredential"
        ) from None
    return Credentials(_bearer(str(token)), certificate, key)


def _cluster_info(access: Access) -> dict[str, Any]:
    info: dict[str, Any] = {"server": access.server}
    if authority := read_authority(access.cluster):
        info["certificate-authority-data"] = base64.b64encode(authority).decode()
    for name in ("tls-server-name", "insecure-skip-tls-verify", "proxy-url"):
        if access.cluster.get(name):
            info[name] = access.cluster[name]
    for each in _items(access.cluster, "extensions"):
        if each.get("name") == "client.authentication.k8s.io/exec":
            info["config"] = each.get("extension")
    return info


def _items(entry: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the mappings in a list of the kubeconfig, which may hold anything."""
    found = entry.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
