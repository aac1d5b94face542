"""What the demo puts into the cluster, and how it takes that out again."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from pinecone_token_operator.api.access_token import GROUP, PLURAL
from tests.demo.place import Place
from tests.demo.settings import DemoError
from tests.support.repository import ROOT

NAMESPACE = "pinecone-demo"

_CRD = ROOT / "crds" / "pineconeaccesstokens.yaml"
_EXAMPLES = ROOT / "examples"
_MORE = Path(__file__).with_name("more.yaml")
_NEEDS_NODES = "pod.yaml"

Say = Callable[[str], None]


@contextlib.contextmanager
def installed_crd(place: Place, say: Say) -> Iterator[None]:
    """Install the CRD, and remove it at the end from a cluster that lives on."""
    name = f"{PLURAL}.{GROUP}"
    if place.kubectl("get", "crd", name, "--ignore-not-found", "--output=name"):
        say("The CRD is installed already; it is left as it is.")
        yield
        return
    say("Installing the CRD with kubectl.")
    try:
        place.kubectl("apply", "--server-side", "-f", str(_CRD))
        place.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(_CRD))
        # A kind can be established before it can be stored; kubectl tries again until it can.
        place.kubectl("get", PLURAL, "--all-namespaces")
        yield
    finally:
        if not place.own:
            _remove_crd(place, name, say)


def _remove_crd(place: Place, name: str, say: Say) -> None:
    # With the CRD all its resources go, and by now somebody may have made some.
    if place.kubectl("get", PLURAL, "--all-namespaces", "--output=name").strip():
        say(f"The CRD {name} stays: it has resources that are not the demo's.")
        return
    place.kubectl("delete", "crd", name, "--ignore-not-found", "--timeout=60s")
    say("The CRD was removed; it was not there before.")


@contextlib.contextmanager
def namespace(place: Place, say: Say) -> Iterator[None]:
    """Create the demo's namespace, and delete it at the end from a cluster that lives on."""
    if place.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output=name"):
        raise DemoError(
            f"The namespace {NAMESPACE} is there already, and the demo deletes only what it made. "
            f"If it is a leftover: kubectl delete namespace {NAMESPACE}"
        )
    place.kubectl("create", "namespace", NAMESPACE)
    try:
        yield
    finally:
        if not place.own:
            say(f"Deleting the namespace {NAMESPACE}.")
            place.kubectl("delete", "namespace", NAMESPACE, "--timeout=90s")


def apply_examples(place: Place, say: Say) -> None:
    """Apply the examples, and some more resources beside them."""
    paths = sorted(path for path in _EXAMPLES.glob("*.yaml") if path.name != _NEEDS_NODES)
    names = ", ".join(path.name for path in paths)
    say(f"Applying examples/ with kubectl ({names}), and {_MORE.name} of the demo.")
    say(f"Leaving out examples/{_NEEDS_NODES}: it brings a pod, and the demo looks at tokens only.")
    files = [f"--filename={path}" for path in (*paths, _MORE)]
    place.kubectl("apply", f"--namespace={NAMESPACE}", *files)
