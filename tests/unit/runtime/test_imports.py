"""Imports are most of the memory of an operator without resources."""

import json
import subprocess
import sys

# kopf loads three of the Kubernetes client's generated classes, of two thousand.
_MOST_GENERATED = 10


def test_operator_imports_nothing_heavy_that_it_does_not_use() -> None:
    program = "import json, sys; import pinecone_token_operator.runtime.manager; "
    program += "print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    loaded = json.loads(done.stdout)
    for other in ("runtime.sidecar", "kubectl_plugin", "cli"):
        assert not [name for name in loaded if name.startswith(f"pinecone_token_operator.{other}")]
    generated = [
        name
        for name in loaded
        if name.startswith("kubernetes.") and {"api", "models"} & set(name.split(".")[:-1])
    ]
    assert len(generated) < _MOST_GENERATED, generated
    assert "kubernetes.client.models.v1_object_meta" in generated  # as the package is laid out
