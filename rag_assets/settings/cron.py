"""Cron expressions and time zones."""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def check_cron(value: str) -> str:
    """The expression itself. Raises ValueError when it is not one of five fields, or never matches."""
    from cronsim import CronSimError

    try:
        next(cron_times(value, "UTC", datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        why = str(error).lower() or "no such day"
        raise ValueError(f"not a cron expression that ever matches ({why})") from None
    if len(value.split()) != 5:
        raise ValueError("a cron expression has five fields here: minute, hour, day, month, day of the week")
    return value


def check_time_zone(value: str) -> str:
    """The name itself. Raises ValueError when there is no such time zone."""
    try:
        ZoneInfo(value)
    except (ValueError, OSError, LookupError):
        raise ValueError("not a time zone, like Europe/Berlin or UTC") from None
    return value


def cron_times(cron: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    """The times after `after` that match a cron expression, in order."""
    from cronsim import CronSim

    return CronSim(cron, after.astimezone(ZoneInfo(time_zone)))
