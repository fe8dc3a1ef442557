"""Dates as people write them: each means a span of time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_PARTS = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d?)(?:-(?P<day>\d\d?)"
    r"(?:[T ](?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
    r"(?P<offset>Z|[+-]\d\d:\d\d)?)?)?)?"
)


def span(written: str) -> tuple[int, int] | None:
    """The first second that is meant and the first after it, since the epoch; None for no date.

    A year, a month, a day, a minute or a second. In UTC where no offset is written: cameras note
    what their clock shows, mostly without its offset, and `taken_at` holds that as if it were UTC.
    So a day is the photographer's own.
    """
    found = _PARTS.fullmatch(written.strip())
    if found is None:
        return None
    year, month, day = int(found["year"]), int(found["month"] or 1), int(found["day"] or 1)
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    zone = datetime.strptime(found["offset"] or "Z", "%z").tzinfo
    try:
        start = datetime(year, month, day, hour, minute, second, tzinfo=zone)
        if found["day"] is None:
            months = 12 if found["month"] is None else 1
            after = year * 12 + month - 1 + months
            end = datetime(after // 12, after % 12 + 1, 1, tzinfo=timezone.utc)
        elif found["hour"] is None:
            end = start + timedelta(days=1)
        else:
            end = start + timedelta(seconds=1 if found["second"] else 60)
    except (ValueError, OverflowError):
        return None
    return int(start.timestamp()), int(end.timestamp())
