"""Shows the operator at work, damages things on purpose, and tells how it went.

    make demo

DEMO_SECONDS (120) is its length. DEMO_KEEP=1 leaves everything running until Ctrl-C.
DEMO_CLUSTER=current uses the cluster of KUBECONFIG. Exit status: 0 all promises were kept; 1 one
was broken, or the demo could not go on; 2 a variable cannot be used; 130, 143 stopped by a signal.
"""

import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import httpx
from rich.console import Console

from tests.demo import display, objects, summary
from tests.demo.damage import Damage
from tests.demo.place import Place, current_cluster, own_cluster, proxied
from tests.demo.settings import DemoError, Settings, SettingsError, read_settings
from tests.demo.state import State
from tests.support.api import KubeError
from tests.support.cluster import ClusterError
from tests.support.control_plane import BuildError
from tests.support.operator_process import Operator, OperatorError
from tests.support.program import begin_clean_up, clean_up_on_signals, complain, say
from tests.support.token_endpoint import TokenEndpoint

_LIFETIME = 60
_FIRST_TOKENS_SECONDS = 30.0
_LONGEST_EXTENSION = 90.0
_CALM_POLL = 0.25
_TENSE_POLL = 0.02


def main() -> int:
    """Run the demo, and return the exit status."""
    clean_up_on_signals()
    try:
        with contextlib.ExitStack() as stack:
            return _run(read_settings(os.environ), stack)
    except SettingsError as error:
        complain("demo", error)
        return 2
    except (DemoError, BuildError, ClusterError, OperatorError, KubeError) as error:
        complain("demo", error)
        return 1
    except httpx.HTTPError as error:
        complain("demo", f"the API server does not answer any more: {error!r}")
        return 1


def _run(settings: Settings, stack: contextlib.ExitStack) -> int:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-")))
    if settings.kubeconfig is None:
        say("Starting a control plane. The first time, it is built into your cache folder, which")
        say("takes some minutes.")
        place = stack.enter_context(own_cluster(directory))
    else:
        say(f"Using the cluster of KUBECONFIG={settings.kubeconfig}.")
        place = stack.enter_context(current_cluster(directory, settings.kubeconfig))
    kube = stack.enter_context(proxied(place))
    stack.enter_context(objects.installed_crd(place, say))
    say(f"Starting a token endpoint, whose tokens live {_LIFETIME} s, and the operator.")
    endpoint = stack.enter_context(TokenEndpoint(_LIFETIME, directory=directory / "endpoint"))
    operator = stack.enter_context(_operator(place, endpoint))
    stack.enter_context(objects.namespace(place, say))
    stack.callback(begin_clean_up)
    operator.wait_ready()
    objects.apply_examples(place, say)

    state = State(kube, endpoint)
    damage = Damage(kube, endpoint, state, settings.seconds)
    console = Console()
    with display.opened(console, settings.seconds, _LIFETIME) as shown:
        elapsed = _watch(state, damage, operator, shown, settings.seconds)
    judged = summary.promises(state, damage, operator_ran=operator.running)
    for line in summary.lines(state, damage, judged, elapsed, _LIFETIME):
        say(line)
    broken = any(promise.breaches for promise in judged)
    for error in operator.errors()[-5:] if broken else []:
        say(f"  the operator logged: {error}")
    say(summary.NEXT)
    if settings.keep:
        _keep(place)
    return int(broken)


def _operator(place: Place, endpoint: TokenEndpoint) -> Operator:
    return Operator(
        place.kubeconfig,
        endpoint.url,
        endpoint.ca_bundle,
        place.directory / "operator",
        # On the reader's cluster it must not touch what is not the demo's.
        namespaces=() if place.own else (objects.NAMESPACE,),
        options=["--log-level", "info"],
        environ=place.environ,
    )


def _watch(
    state: State, damage: Damage, operator: Operator, shown: display.Display, seconds: int
) -> float:
    """Show and damage until the time is over and no recovery is awaited; return how long."""
    started = time.monotonic()
    state.look()
    while not state.well:
        elapsed = time.monotonic() - started
        if elapsed > _FIRST_TOKENS_SECONDS or not operator.running:
            raise DemoError("The resources did not become Ready; see the table above.")
        shown.show(state, elapsed)
        time.sleep(_TENSE_POLL)
        state.look()
    elapsed = time.monotonic() - started
    shown.event(elapsed, f"all {len(state.rows)} resources have a token")
    while operator.running:
        elapsed = time.monotonic() - started
        for line in damage.step(elapsed):
            shown.event(elapsed, line)
        shown.show(state, elapsed)
        over = elapsed - seconds
        if over >= 0 and (not damage.pending or over > _LONGEST_EXTENSION):
            break
        awaited = any(fault.pending for fault in damage.faults)
        time.sleep(_TENSE_POLL if awaited else _CALM_POLL)
        state.look()
    return elapsed


def _keep(place: Place) -> None:
    say("")
    say("Everything goes on until Ctrl-C. In another terminal:")
    say(f"  export KUBECONFIG={place.kubeconfig}")
    say(f"  {place.kubectl_program} -n {objects.NAMESPACE} get pineconeaccesstokens -w")
    say(f"  {place.kubectl_program} -n {objects.NAMESPACE} delete secret pinecone-access-token")
    try:
        while True:
            signal.pause()
    except SystemExit:
        return  # this was asked for; the status still tells of the promises


if __name__ == "__main__":
    sys.exit(main())
