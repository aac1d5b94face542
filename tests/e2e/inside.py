"""Runs inside the sandbox: the cluster, its node, the token endpoint, and the scenario."""

import argparse
import contextlib
import json
import os
import sys
import traceback
from pathlib import Path

from tests.e2e import sandbox, scenario
from tests.e2e.commands import CommandError
from tests.e2e.node import PAUSE, Node
from tests.e2e.node_cluster import NODE_ADDRESS, SERVICE_ADDRESS, NodeCluster
from tests.e2e.stage import CLIENT, LONG, SECRET, SHORT, Stage
from tests.e2e.user import User
from tests.support.audit import AuditLog
from tests.support.token_endpoint import TokenEndpoint


def main() -> int:
    """Run the scenario and write down the findings, even if it fails."""
    parser = argparse.ArgumentParser(description="Runs in the sandbox; see python -m tests.e2e.")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--pause-archive", type=Path, required=True)
    options = parser.parse_args()
    directory: Path = options.directory
    sandbox.prepare(directory, [NODE_ADDRESS, SERVICE_ADDRESS])
    form = SHORT if os.environ.get("E2E_SHORT") else LONG
    with (
        TokenEndpoint(form.lifetime, host=NODE_ADDRESS, directory=directory / "tls") as endpoint,
        NodeCluster(directory / "cluster") as cluster,
    ):
        endpoint.credentials = {CLIENT: SECRET}
        node = Node(cluster, directory / "node", form.sync_frequency)
        stage = Stage(
            form=form,
            user=User(cluster.kubeconfig, directory),
            node=node,
            endpoint=endpoint,
            audit=AuditLog(cluster.audit_log),
            directory=directory,
            image=options.image,
        )
        try:
            with stage.step("0. start the node"):
                node.start({options.image: options.archive, PAUSE: options.pause_archive})
            scenario.run(stage)
        except Exception:  # noqa: BLE001 - it is printed, and the findings so far are kept
            traceback.print_exc()
            _keep_state(stage)
            return 1
        finally:
            found = {"found": stage.found, "seconds": stage.seconds}
            (directory / "found.json").write_text(json.dumps(found, indent=2), "utf-8")
    return 0


def _keep_state(stage: Stage) -> None:
    """Save next to the logs what a developer would look at first."""
    for what in ("pods", "pat", "events"):
        with contextlib.suppress(CommandError):
            found = stage.user.kubectl("get", what, "-A", "-o", "wide")
            (stage.directory / "cluster" / f"{what}.log").write_text(found, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
