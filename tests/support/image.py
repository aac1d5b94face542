"""What the image sets for the processes in it."""

import re

from tests.support.repository import ROOT


def image_variables() -> dict[str, str]:
    """Return the environment variables of the image."""
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    (text,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", dockerfile, re.MULTILINE)
    return dict(re.findall(r"(\w+)=(\S+)", text))
