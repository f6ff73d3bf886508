"""How many connections there are at a time; a flood of them neither harms those inside nor shuts probes out."""

from __future__ import annotations

from typing import Protocol

RESERVED = 256
"""Places beyond the limit, for whoever asks at once: probes are answered there, others are told to come later.

More than an event loop accepts in one turn (`processor.surfaces.http.listening.BACKLOG`), so that a connection's
request is read before so many others have come that it has to go.
"""


class Guest(Protocol):
    """A connection, as the door sees it."""

    @property
    def idle(self) -> bool:
        """It has asked nothing that is not answered."""

    def turn_away(self) -> None:
        """Close it, saying that there are too many."""


class Door:
    """Lets connections in: ``limit`` of them, and `RESERVED` more for a moment each."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside: set[Guest] = set()
        self._reserve: dict[Guest, None] = {}  # oldest first
        self.turned_away = 0

    @property
    def connections(self) -> int:
        """How many there are now, in the reserve too."""
        return len(self._inside) + len(self._reserve)

    def enter(self, guest: Guest) -> None:
        """A new connection. Where the reserve is full too, who has waited there longest in silence has to go."""
        if len(self._inside) < self._limit:
            self._inside.add(guest)
            return
        self._reserve[guest] = None
        if len(self._reserve) > RESERVED:
            goes = next((waiting for waiting in self._reserve if waiting.idle), guest)
            self.leave(goes)
            self.turned_away += 1
            goes.turn_away()

    def admits(self, guest: Guest) -> bool:
        """Whether it may ask for anything; from the reserve it moves in where there is room by now."""
        if guest not in self._reserve:
            return True
        if len(self._inside) >= self._limit:
            return False
        del self._reserve[guest]
        self._inside.add(guest)
        return True

    def leave(self, guest: Guest) -> None:
        """Its place is free; harmless where it had none."""
        self._inside.discard(guest)
        self._reserve.pop(guest, None)
