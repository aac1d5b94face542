"""Paths in this repository."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
CRD: Final = ROOT / "crds" / "pineconeaccesstokens.yaml"
CLUSTER_CRD: Final = ROOT / "crds" / "clusterpineconeaccesstokens.yaml"
