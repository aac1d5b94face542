"""Shows the operator at work, breaks a few things on purpose and reports how it went.

    make demo

DEMO_SECONDS (120) is its length. DEMO_KEEP=1 keeps everything running until Ctrl-C.
DEMO_CLUSTER=current uses the cluster of KUBECONFIG. Exit status: 0 all promises were kept; 1 a
promise was broken or the demo could not go on; 2 a variable is invalid; 130, 143 stopped by a
signal.
"""

import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.demo import display, objects, summary
from tests.demo.environment import Environment, current_cluster, own_cluster, proxied
from tests.demo.faults import Faults
from tests.demo.settings import DemoError, read_settings
from tests.demo.state import State
from tests.support.operator_process import Operator
from tests.support.program import begin_clean_up, run_program, say
from tests.support.token_endpoint import TokenEndpoint

_LIFETIME = 60
_CLUSTER_TOKENS = (
    "--enable-cluster-access-tokens",
    f"--cluster-resource-namespace={objects.NAMESPACE}",
)
_FIRST_TOKENS_SECONDS = 30.0
_LONGEST_EXTENSION = 90.0
_IDLE_POLL = 0.25
_RECOVERY_POLL = 0.02


def main() -> int:
    """Run the demo, and return the exit status."""
    settings = read_settings(os.environ)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-")))
        if settings.kubeconfig is None:
            say("Starting a control plane. Its programs are downloaded or built the first time.")
            env = stack.enter_context(own_cluster(directory))
        else:
            say(f"Using the cluster of KUBECONFIG={settings.kubeconfig}.")
            env = stack.enter_context(current_cluster(directory, settings.kubeconfig))
        kube = stack.enter_context(proxied(env))
        stack.enter_context(objects.installed_crd(env, say))
        say(f"Starting the operator and a token endpoint whose tokens live {_LIFETIME} s.")
        endpoint = stack.enter_context(TokenEndpoint(_LIFETIME, directory=directory / "endpoint"))
        operator = stack.enter_context(_operator(env, endpoint))
        stack.enter_context(objects.namespace(env, say))
        stack.callback(begin_clean_up)
        operator.wait_ready()
        objects.apply_examples(env, say)

        state = State(kube, endpoint, shared=env.own)
        faults = Faults(kube, endpoint, state, settings.seconds, shared=env.own)
        with display.open_display(Console(), settings.seconds, _LIFETIME) as shown:
            elapsed = _watch(state, faults, operator, shown, settings.seconds)
        judged = summary.promises(state, faults, operator_ran=operator.running)
        for line in summary.lines(state, faults, judged, elapsed, _LIFETIME):
            say(line)
        broken = any(promise.breaches for promise in judged)
        for error in operator.errors()[-5:] if broken else []:
            say(f"  the operator logged: {error}")
        say(summary.NEXT)
        if settings.keep:
            _keep_running(env)
        return int(broken)


def _operator(env: Environment, endpoint: TokenEndpoint) -> Operator:
    return Operator(
        env.kubeconfig,
        endpoint.url,
        endpoint.ca_bundle,
        env.directory / "operator",
        # On the reader's cluster it must not touch anything but the demo's own objects.
        namespaces=() if env.own else (objects.NAMESPACE,),
        options=[
            *("--log-level", "info"),
            *(_CLUSTER_TOKENS if env.own else ()),
        ],
        environ=env.environ,
    )


def _watch(
    state: State, faults: Faults, operator: Operator, shown: display.Display, seconds: int
) -> float:
    """Show the state and inject faults until the time is over; return how long that took.

    A recovery that is in progress at the end is waited for.
    """
    started = time.monotonic()
    state.update()
    while not state.healthy:
        elapsed = time.monotonic() - started
        if elapsed > _FIRST_TOKENS_SECONDS or not operator.running:
            raise DemoError("The resources did not become Ready; see the table above.")
        shown.show(state, elapsed)
        time.sleep(_RECOVERY_POLL)
        state.update()
    elapsed = time.monotonic() - started
    shown.event(elapsed, f"all {len(state.rows)} resources have a token")
    while operator.running:
        elapsed = time.monotonic() - started
        for line in faults.step(elapsed):
            shown.event(elapsed, line)
        shown.show(state, elapsed)
        over = elapsed - seconds
        if over >= 0 and (not faults.pending or over > _LONGEST_EXTENSION):
            break
        recovering = any(fault.pending for fault in faults.injected)
        time.sleep(_RECOVERY_POLL if recovering else _IDLE_POLL)
        state.update()
    return elapsed


def _keep_running(env: Environment) -> None:
    say("")
    say("Everything keeps running until Ctrl-C. In another terminal:")
    say(f"  export KUBECONFIG={env.kubeconfig}")
    say(f"  {env.kubectl_program} -n {objects.NAMESPACE} get pineconeaccesstokens -w")
    say(f"  {env.kubectl_program} -n {objects.NAMESPACE} delete secret pinecone-access-token")
    try:
        while True:
            signal.pause()
    except SystemExit:
        return  # this is how it ends; the exit status is about the promises


if __name__ == "__main__":
    sys.exit(run_program("demo", main))
