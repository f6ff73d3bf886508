"""Kafka record timestamps as text, without a clock or a time zone."""

from __future__ import annotations

from functools import lru_cache

_DAY_MS = 86_400_000


def rfc3339_utc(time_ms: int) -> str:
    """Milliseconds since the epoch (≥ 0) as RFC 3339 UTC with milliseconds."""
    days, rest = divmod(time_ms, _DAY_MS)
    seconds, milliseconds = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_date(days)}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z"


@lru_cache(maxsize=64)
def _date(days: int) -> str:
    # Years that begin in March put the leap day last; 400 of them have 146,097 days, and this era began
    # 719,468 days before 1970-01-01.
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (month <= 2)
    return f"{year:04}-{month:02}-{day:02}"
