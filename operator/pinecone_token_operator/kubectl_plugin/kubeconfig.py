"""The user's kubeconfig: which API server, and how to authenticate to it.

The Kubernetes client takes most of a second to import, for which nobody waits at a prompt.

https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

import base64
import binascii
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from pinecone_token_operator.config import hosts
from pinecone_token_operator.errors import SettingsInvalid

_LISTS: Final = ("clusters", "users", "contexts")
# Fields that are paths, relative to the file that has them.
_PATHS: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Access:
    """One context of a kubeconfig.

    Attributes:
        server: the API server's URL, without a slash at the end.
        cluster: the context's cluster entry.
        user: the context's user entry; secret.
        namespace: the context's namespace.
    """

    server: str
    cluster: Config
    user: Config = field(repr=False)
    namespace: str


def find_access(kubeconfig: str | None, context: str | None, environ: Mapping[str, str]) -> Access:
    """Return what kubectl would use, with a pod's service account as the last resort.

    Raises:
        SettingsInvalid: there is no such file or context, or it cannot be used. The message never
            quotes the file.
    """
    config = read_config(kubeconfig, environ)
    if not config["contexts"] and context is None and (pod := _pod_access(environ)):
        return pod
    if kubeconfig is None and not any(each.is_file() for each in _files(environ)):
        raise SettingsInvalid(
            f"there is no kubeconfig at {os.pathsep.join(map(str, _files(environ)))};"
            " use --kubeconfig FILE, or set KUBECONFIG"
        )
    name = context or config["current-context"]
    if not name:
        raise SettingsInvalid("the kubeconfig has no current context; use --context NAME")
    found = _entry(config, "contexts", name, "--context: ", "context")
    cluster = _entry(config, "clusters", found.get("cluster"), "", "cluster")
    user = _entry(config, "users", found["user"], "", "user") if found.get("user") else {}
    server = cluster.get("server")
    if not isinstance(server, str) or not _is_url(server):
        raise SettingsInvalid(f"the cluster of the context {name!r} has no valid server URL")
    return Access(server.rstrip("/"), cluster, user, str(found.get("namespace") or "default"))


def context_names(kubeconfig: str | None, environ: Mapping[str, str]) -> list[str]:
    """Return the names of all contexts.

    Raises:
        SettingsInvalid: a file cannot be used.
    """
    return list(read_config(kubeconfig, environ)["contexts"])


def read_config(kubeconfig: str | None, environ: Mapping[str, str]) -> dict[str, Any]:
    """Merge the files as kubectl does: of what several set, the first wins.

    Raises:
        SettingsInvalid: a file cannot be read or is not a kubeconfig.
    """
    if kubeconfig is not None and not Path(kubeconfig).expanduser().is_file():
        raise SettingsInvalid(f"--kubeconfig: {kubeconfig!r} is not a file")
    merged: dict[str, Any] = {"current-context": "", **{each: {} for each in _LISTS}}
    for file in [Path(kubeconfig).expanduser()] if kubeconfig else _files(environ):
        if file.is_file():
            _merge(merged, _parse(file), file.parent)
    return merged


def decode_data(text: object, what: str) -> bytes:
    """Return what a field such as `certificate-authority-data` holds.

    Raises:
        SettingsInvalid: it is not base64.
    """
    try:
        return base64.b64decode(str(text), validate=False)
    except (ValueError, binascii.Error):
        raise SettingsInvalid(f"the kubeconfig's {what} is not base64") from None


def _files(environ: Mapping[str, str]) -> list[Path]:
    """Return the files that kubectl would merge, whether or not they exist."""
    paths = (environ.get("KUBECONFIG") or "~/.kube/config").split(os.pathsep)
    return [Path(each).expanduser() for each in paths if each]


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        return False
    return url.scheme in ("https", "http") and hosts.is_host(host) and port != 0


def _parse(file: Path) -> Config:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        parsed = yaml.load(file.read_text("utf-8"), loader)  # noqa: S506 - it is a safe loader
    except OSError as error:
        raise SettingsInvalid(f"the kubeconfig {file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError):
        # Not chained: its text quotes the file, which may hold a token.
        raise SettingsInvalid(f"the kubeconfig {file} is not valid YAML") from None
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise SettingsInvalid(f"the kubeconfig {file} is not a kubeconfig")
    return parsed


def _merge(merged: dict[str, Any], config: Config, directory: Path) -> None:
    current = config.get("current-context")
    if isinstance(current, str):
        merged["current-context"] = merged["current-context"] or current
    for plural in _LISTS:
        for entry in _mappings(config.get(plural)):
            value = entry.get(plural.removesuffix("s"))
            if isinstance(value, dict) and isinstance(entry.get("name"), str):
                merged[plural].setdefault(entry["name"], _with_absolute_paths(value, directory))


def _mappings(entries: object) -> Iterable[Config]:
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


def _with_absolute_paths(entry: Config, directory: Path) -> dict[str, Any]:
    found = dict(entry)
    for name in _PATHS:
        if isinstance(found.get(name), str) and found[name]:
            found[name] = str(directory / found[name])
    plugin = found.get("exec")
    if isinstance(plugin, dict) and os.sep in str(plugin.get("command", "")):
        found["exec"] = {**plugin, "command": str(directory / str(plugin["command"]))}
    return found


def _entry(config: Config, plural: str, name: object, flag: str, noun: str) -> Config:
    entries: Mapping[str, Config] = config[plural]
    # A malformed file may have anything here.
    if not isinstance(name, str) or name not in entries:
        known = f"; it has {', '.join(sorted(entries))}" if entries else ""
        raise SettingsInvalid(f"{flag}the kubeconfig has no {noun} {name!r}{known}")
    return entries[name]


def _pod_access(environ: Mapping[str, str]) -> Access | None:
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (_POD / "token").is_file():
        return None
    host = f"[{host}]" if ":" in host else host
    return Access(
        f"https://{host}:{port}",
        {"certificate-authority": str(_POD / "ca.crt")},
        {"tokenFile": str(_POD / "token")},
        (_POD / "namespace").read_text("utf-8").strip(),
    )
