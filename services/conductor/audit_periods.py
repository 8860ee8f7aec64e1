"""The periods of the usage audit."""

from datetime import datetime, timedelta

from db.usage_audits import Period
from novamesh.failures import InvalidArgumentError

# Units of a period, with the first and the last offset that each may have.
UNITS = {"hour": (0, 59), "day": (0, 23), "month": (1, 28), "year": (1, 12)}


def parse_period(text: str) -> tuple[str, int]:
    """Unit and offset of `month`, `day@6` and the like: minute, hour, day of the month or month at which
    periods begin.

    Raises ValueError.
    """
    unit, at, offset = text.partition("@")
    if unit not in UNITS:
        raise ValueError(f"instance_usage_audit_period must be hour, day, month or year, not {unit!r}")
    least, most = UNITS[unit]
    number = int(offset) if offset.isdecimal() else least
    if (at and not offset.isdecimal()) or not least <= (number or least) <= most:
        raise ValueError(f"the offset of instance_usage_audit_period {text!r} must be {least} to {most}")
    return unit, number or least


def last_period(text: str, before: datetime) -> Period:
    """The last period that ended before a moment, `text` being what the option says.

    Raises InvalidArgumentError for a moment at the beginning of time.
    """
    unit, offset = parse_period(text)
    try:
        ending = _boundary(unit, offset, before)
        return Period(_boundary(unit, offset, ending), ending)
    except (ValueError, OverflowError):
        raise InvalidArgumentError("before", f"There is no period before {before}.") from None


def _boundary(unit: str, offset: int, before: datetime) -> datetime:
    """The last moment before `before` at which a period ends."""
    hour = before.replace(minute=0, second=0, microsecond=0)
    if unit == "hour":
        found = hour.replace(minute=offset)
        return found if found < before else found - timedelta(hours=1)
    midnight = hour.replace(hour=0)
    if unit == "day":
        found = midnight.replace(hour=offset)
        return found if found < before else found - timedelta(days=1)
    if unit == "month":
        found = midnight.replace(day=offset)
        # The last day of the month before is in that month, whatever its length.
        return found if found < before else (midnight.replace(day=1) - timedelta(days=1)).replace(day=offset)
    found = midnight.replace(month=offset, day=1)
    return found if found < before else found.replace(year=found.year - 1)
