"""Help texts, metrics, alerts and make targets, as users read them."""

import re
from collections.abc import Iterator

import yaml
from prometheus_client.parser import text_string_to_metric_families

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.cli import kubectl_plugin
from pinecone_token_operator.cli.main import main
from pinecone_token_operator.telemetry.metrics import Metrics
from tests.support.forked_process import run_forked
from tests.support.repository import ROOT

_CONDITIONS = ROOT / "operator" / "pinecone_token_operator" / "api" / "conditions.py"
# It sets every value, so it has every alert.
_RENDERED_CHART = ROOT / "tests" / "chart" / "snapshots" / "everything.yaml"


def help_texts() -> Iterator[str]:
    """Yield the lines of the help of the program and of each command."""
    program = "pinecone-token-operator", main
    plugin = "kubectl pinecone-token", kubectl_plugin.main
    commands = ("run", "check", "sidecar")
    plugin_commands = ("status", "refresh", "suspend", "resume", "events", "print", "doctor")
    helps = [(program, ["--help"]), *((program, [each, "--help"]) for each in commands)]
    helps += [(plugin, ["--help"]), *((plugin, [each, "--help"]) for each in plugin_commands)]
    for (name, entry), arguments in helps:
        yield f"[{name} {' '.join(arguments)}]"
        # One line per option is what shows a change best.
        done = run_forked(entry, arguments, {"COLUMNS": "1000"})
        done.check_returncode()
        for line in filter(str.strip, done.stdout.splitlines()):
            yield re.sub(r"(?<=\S) +", " ", line.rstrip())


def reasons() -> Iterator[str]:
    """Yield each condition reason with what it means, as README.md repeats it."""
    found = dict(
        re.findall(r'= "(\w+)".*\n    """(.+)"""$', _CONDITIONS.read_text("utf-8"), re.MULTILINE)
    )
    for reason in Reason:
        yield f"{reason}: {found[str(reason)]}"


def metric_help() -> Iterator[str]:
    """Yield the help of each metric of the operator."""
    for family in text_string_to_metric_families(Metrics().render().decode()):
        if family.name.startswith("pinecone_"):
            yield f"{family.name}: {family.documentation}"


def alerts() -> Iterator[str]:
    """Yield the summary and the description of each alert of the rendered chart."""
    for found in yaml.safe_load_all(_RENDERED_CHART.read_text("utf-8")):
        if not found or found.get("kind") != "PrometheusRule":
            continue
        for group in found["spec"]["groups"]:
            for rule in group["rules"]:
                yield f"[{rule['alert']}]"
                yield from (rule["annotations"][name] for name in ("summary", "description"))


def make_targets() -> Iterator[str]:
    """Yield the help of each target of the Makefile."""
    text = (ROOT / "Makefile").read_text("utf-8")
    for name, described in re.findall(r"^([a-z0-9-]+):.*## (.+)$", text, re.MULTILINE):
        yield f"make {name}: {described}"
