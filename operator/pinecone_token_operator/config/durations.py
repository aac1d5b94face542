"""Durations as users write them: 90s, 10m, 1h30m."""

import re
from datetime import timedelta

_DURATION = re.compile(r"(?:([0-9]{1,5})h)?(?:([0-9]{1,7})m)?(?:([0-9]{1,7})s)?")


def parse_duration(text: str, shortest: str, longest: str) -> timedelta:
    """Parse a duration in hours, minutes and seconds, within bounds in the same notation.

    Raises:
        ValueError: the text is not such a duration; the message does not repeat it.
    """
    duration = _parse(text)
    if duration is None:
        raise ValueError("is not a duration: use hours, minutes and seconds, such as 1h30m or 90s")
    least, most = _parse(shortest), _parse(longest)
    if least is None or most is None:
        raise AssertionError("a bound is not a duration")
    if not least <= duration <= most:
        raise ValueError(f"is out of range: use a duration from {shortest} to {longest}")
    return duration


def _parse(text: str) -> timedelta | None:
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return None
    hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)
