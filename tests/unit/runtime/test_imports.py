"""Imports are most of the memory of an operator without resources."""

import json
import subprocess
import sys


def test_operator_imports_nothing_heavy_that_it_does_not_use() -> None:
    program = "import json, sys; import pinecone_token_operator.runtime.manager; "
    program += "print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    loaded = json.loads(done.stdout)
    for other in ("runtime.sidecar", "kubectl_plugin", "cli"):
        assert not [name for name in loaded if name.startswith(f"pinecone_token_operator.{other}")]
    # kopf imports it unless it is kept from that; only a kubeconfig needs it.
    assert not {"kubernetes", "requests", "urllib3"} & set(loaded)


def test_kopf_leaves_the_kubernetes_client_importable() -> None:
    program = "import pinecone_token_operator.watch.kopf_adapter, kubernetes.aio.config"
    subprocess.run([sys.executable, "-c", program], check=True)
    program = "import kubernetes, pinecone_token_operator.watch.kopf_adapter; kubernetes.client"
    subprocess.run([sys.executable, "-c", program], check=True)
