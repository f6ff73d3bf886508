"""Record timestamps as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from processor.loop.record_time import rfc3339_utc

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


@given(st.integers(0, LAST_MS))
@example(0)
@example(951_782_400_000)  # 2000-02-29
@example(4_107_542_399_999)  # the last millisecond of February 2100, no leap year
def test_time_is_what_the_calendar_says(time_ms: int) -> None:
    moment = EPOCH + timedelta(milliseconds=time_ms)
    assert rfc3339_utc(time_ms) == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_times_beyond_the_calendar_are_still_text() -> None:
    assert rfc3339_utc(2**63 - 1).startswith("292278994-08-17T")
