"""What the demo creates in the cluster, and how it is removed again."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.demo.environment import Environment
from tests.demo.settings import DemoError
from tests.support.crd import CRD_NAME, install_crd
from tests.support.documented import CLUSTER_PLURAL, PLURAL
from tests.support.repository import CLUSTER_CRD, ROOT

NAMESPACE = "pinecone-demo"
SHARED = "shared"
SHARED_LABEL = "pinecone.example/token"
SHARED_TARGET = "shared-token"
SHARED_NAMESPACES = tuple(f"{NAMESPACE}-team-{letter}" for letter in "abc")

_EXAMPLES = ROOT / "examples"
_MORE = Path(__file__).with_name("more-resources.yaml")
_SHARED = Path(__file__).with_name("shared-token.yaml")
_APPLIED = ("access-token-template.yaml", "access-token.yaml", "credentials.yaml")

Say = Callable[[str], None]


@contextlib.contextmanager
def installed_crd(env: Environment, say: Say) -> Iterator[None]:
    """Install the CRD, and remove it at the end if the cluster is the reader's."""
    if env.kubectl("get", "crd", CRD_NAME, "--ignore-not-found", "--output=name"):
        say("The CRD is already installed; leaving it unchanged.")
        yield
        return
    say("Installing the CRD with kubectl.")
    try:
        install_crd(env)
        if env.own:
            install_crd(env, CLUSTER_CRD, CLUSTER_PLURAL)
        yield
    finally:
        if not env.own:
            _remove_crd(env, say)


def _remove_crd(env: Environment, say: Say) -> None:
    # Deleting the CRD deletes all its resources, and by now somebody may have created some.
    if env.kubectl("get", PLURAL, "--all-namespaces", "--output=name").strip():
        say(f"Keeping the CRD {CRD_NAME}: it has resources that are not the demo's.")
        return
    env.kubectl("delete", "crd", CRD_NAME, "--ignore-not-found", "--timeout=60s")
    say("Removed the CRD, which the demo had installed.")


@contextlib.contextmanager
def namespace(env: Environment, say: Say) -> Iterator[None]:
    """Create the demo's namespace, and delete it at the end if the cluster is the reader's."""
    if env.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output=name"):
        raise DemoError(
            f"The namespace {NAMESPACE} already exists, and the demo deletes only what it created. "
            f"If it is left over from an earlier demo: kubectl delete namespace {NAMESPACE}"
        )
    env.kubectl("create", "namespace", NAMESPACE)
    try:
        yield
    finally:
        if not env.own:
            say(f"Deleting the namespace {NAMESPACE}.")
            env.kubectl("delete", "namespace", NAMESPACE, "--timeout=90s")


def apply_examples(env: Environment, say: Say) -> None:
    """Apply the examples and a few more resources."""
    paths = [_EXAMPLES / name for name in _APPLIED]
    names = ", ".join(path.name for path in paths)
    say(f"Applying examples/ with kubectl ({names}) and the demo's {_MORE.name}.")
    say("Skipping the other examples: they create pods, which the demo does not need.")
    files = [f"--filename={path}" for path in (*paths, _MORE)]
    env.kubectl("apply", f"--namespace={NAMESPACE}", *files)
    # A resource for all namespaces is not for the reader's cluster, where others may use the kind.
    if env.own:
        say(f"Applying the demo's {_SHARED.name}: one token for several namespaces.")
        env.kubectl("apply", f"--filename={_SHARED}")
