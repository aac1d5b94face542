"""Writes a kubeconfig with one cluster and one user."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path


def write_kubeconfig(path: Path, url: str, ca_file: Path, user: Mapping[str, str]) -> Path:
    """Write a kubeconfig that only its owner can read, and return its path."""
    authority = base64.b64encode(ca_file.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "tests", "cluster": {"server": url, "certificate-authority-data": authority}}
        ],
        "users": [{"name": "user", "user": dict(user)}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "user"}}],
        "current-context": "tests",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=2), "utf-8")
    return path
