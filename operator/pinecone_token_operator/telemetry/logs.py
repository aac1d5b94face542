"""Log format and levels: JSON or text; below WARNING, only this package logs.

A line about one resource is logged with `extra={"resource": ObjectRef(...)}`.
"""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

from pinecone_token_operator.keys import ObjectRef

OWN_LOGGER: Final = "pinecone_token_operator"

# The kubernetes client logs whole bodies, Secrets included, at DEBUG. kopf has its level already.
QUIET_LOGGERS: Final = (
    "aiohttp",
    "aiohttp.access",
    "asyncio",
    "httpcore",
    "httpx",
    "kubernetes",
)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts, level, logger, message, resource, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, object] = {
            "ts": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if resource := _resource(record):
            line["resource"] = resource._asdict()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Time, level, resource and message; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        resource = _resource(record)
        subject = f"{resource}: " if resource else ""
        time = _time(record).strftime("%H:%M:%S.%f")[:-3]
        text = f"{time} {record.levelname:<7} {subject}{record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def set_up(level: str, log_format: str, environ: Mapping[str, str], stream: TextIO) -> None:
    """Send all log lines to the stream, in the given format or the one that suits the stream."""
    handler = logging.StreamHandler(stream)
    as_json = log_format == "json" or (log_format == "auto" and reads_json(environ, stream))
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    own_level = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(own_level, logging.WARNING))
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(own_level, logging.WARNING))
    logging.getLogger(OWN_LOGGER).setLevel(own_level)
    logging.captureWarnings(capture=True)


def reads_json(environ: Mapping[str, str], stream: TextIO) -> bool:
    """Return whether a program reads the log: in a pod, or without a terminal."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST")) or not stream.isatty()


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _resource(record: logging.LogRecord) -> ObjectRef | None:
    resource: ObjectRef | None = getattr(record, "resource", None)
    return resource
