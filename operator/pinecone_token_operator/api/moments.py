"""Times in objects, which others may have written. No I/O."""

from datetime import UTC, datetime


def parse_moment(text: object) -> datetime | None:
    """Read a time as Kubernetes writes it, in UTC if it names no zone; None if it is not one.

    The API server takes what Python does not, such as the year 0.
    """
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
