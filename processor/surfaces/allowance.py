"""How much may be done a second, at most and on average."""

from __future__ import annotations


class Allowance:
    """Refilled as time goes on, not at the turn of a second, so that what is done comes spread over time.

    ``per_s`` a second are added, up to ``most``, with which it begins. Times are seconds of any one clock.
    """

    __slots__ = ("_filled_at", "_most", "_per_s", "_room")

    def __init__(self, per_s: float, most: float, now: float) -> None:
        self._per_s = per_s
        self._most = most
        self._room = most
        self._filled_at = now

    def take(self, wanted: int, now: float) -> int:
        """As many of the wanted ones as there is room for; they are gone."""
        self._room = min(self._most, self._room + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        taken = min(wanted, int(self._room))
        self._room -= taken
        return taken
