"""Many sessions taking turns, each answering to the entropy last reported for it."""

from __future__ import annotations

from collections.abc import Sequence

from processor.errors import ConfigError
from processor.surfaces.simulator.events import Numbered, Record, SessionEvents
from processor.surfaces.simulator.families import FAMILIES, Family
from processor.surfaces.simulator.sessions import SimulatedSession


def families_named(names: Sequence[str]) -> list[Family]:
    """The families with these names, all of them for none; raises `ConfigError` for an unknown one."""
    for name in names:
        if name not in FAMILIES:
            raise ConfigError(f"family {name!r} is unknown: choose from {', '.join(FAMILIES)}")
    return [FAMILIES[name] for name in names] if names else list(FAMILIES.values())


class Population:
    """``sessions`` sessions in turn, families dealt round; session ids are ``{prefix}{number}``.

    The events of a session depend on the seed, its number and the entropies given for it, not on the
    others.
    """

    def __init__(
        self,
        sessions: int,
        seed: int,
        *,
        families: Sequence[Family] = tuple(FAMILIES.values()),
        imperfections: float = 0.0,
        prefix: str = "sim-",
    ) -> None:
        self._prefix = prefix.encode()
        self._sessions: list[SessionEvents] = []
        for index in range(sessions):
            dynamics = SimulatedSession(seed, index, families[index % len(families)])
            who = Numbered(index, f"{prefix}{index:05d}")
            self._sessions.append(SessionEvents(seed, who, dynamics, imperfections))
        self._by_id = {session.session_id: index for index, session in enumerate(self._sessions)}
        self._entropy = [0.0] * sessions
        self._turn = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def family_of(self, session_id: str) -> str:
        """The name of the session's family."""
        return self._sessions[self._by_id[session_id]].dynamics.family.name

    def owns(self, record_key: bytes | None) -> bool:
        """Whether a record is one of this population's."""
        return record_key is not None and record_key.startswith(self._prefix)

    def hear(self, session_id: str, current_factor: float) -> None:
        """Take the entropy of a session's latest action; sessions of others are ignored."""
        index = self._by_id.get(session_id)
        if index is not None:
            self._entropy[index] = current_factor

    def turn(self) -> Sequence[Record]:
        """The records of the next session's next step."""
        index = self._turn
        self._turn = (index + 1) % len(self._sessions)
        return self._sessions[index].following(self._entropy[index])
