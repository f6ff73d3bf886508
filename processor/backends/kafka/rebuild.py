"""Writing the state of partitions anew into changelogs that lost it.

The states come first, in as many transactions as they need; the progress records of all partitions come last, in one.
Until that one is committed every processor refuses these partitions (no progress record), and whoever begins again
removes what was left over.  Each transaction is an ordinary commit of the group's only member (`sole_member`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from processor.backends.kafka.admin import committed_offset
from processor.backends.kafka.cluster import KafkaCluster
from processor.backends.kafka.reader import LATEST, list_offset
from processor.backends.kafka.reset import KeptState
from processor.backends.kafka.sole_member import JOINED_MEANWHILE, STOP_FIRST, OperatorsWork, alone
from processor.config import APPLICATION_VERSION, Settings
from processor.engine.commit import Batch, commit
from processor.engine.ports import Epoch, Token
from processor.engine.task import Task
from processor.errors import Fenced, InDoubt, Refused
from schemas.progress import BARRIER_KEY, PROGRESS_KEY, Barrier, encode_barrier

log = logging.getLogger(__name__)

NAME = "rebuild"  # of the member and of its transactional id
ENGINES_OWN = b"\x00"  # how the keys of what is not the fold's begin
ATTEMPTS = 3
Change = tuple[bytes, bytes | None]
Each = Callable[[bytes, bytes | None], None]


class NewState(NamedTuple):
    """What a partition's changelog shall hold, and what it was seen to hold when that was worked out.

    ``own``: the engine's records by key, barriers left out; ``committed``: the group's offset, None where it has none.
    """

    partition: int
    own: Mapping[bytes, bytes]
    committed: int | None
    next_offset: int
    state: Mapping[bytes, bytes]
    progress: bytes


class _Part(NamedTuple):
    """One partition's share of a transaction."""

    task: Task
    changes: Sequence[Change]
    position: int


class LostChangelogs(OperatorsWork):
    """Implements `processor.surfaces.ports.ChangelogAdmin`, in plain values."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, NAME, "rebuilder")

    async def standing(self, partition: int, each: Each) -> tuple[dict[bytes, bytes], int | None]:
        """The engine's own records, and the group's committed offset; changes nothing.

        ``each`` sees the fold's records: whoever restores sees them too, also those that are replaced by then.
        """
        end = await list_offset(self._cluster.store_connection, self._settings.topics.changelog, partition, LATEST)
        held = await self._held(partition, end - 1, each) if end else {}
        committed = await committed_offset(self._cluster.store_connection, self._settings, partition)
        own = {key: value for key, value in held.items() if key.startswith(ENGINES_OWN)}
        return own, committed if committed >= 0 else None

    async def write(self, states: Sequence[NewState]) -> None:
        """All of them, or none that a processor would use; raises `Refused`."""
        async with alone(self._cluster, self._settings) as token:
            writing = _Writing(self._cluster, self._settings, token)
            try:
                await self._write(states, token, writing)
            except (Fenced, Refused) as error:
                # A new epoch ends what is open, so that no processor has to wait for its time-out.
                await writing.begin()
                if isinstance(error, Refused):
                    raise
                raise Refused(
                    f"{JOINED_MEANWHILE}, and what was written so far is used by nobody: {STOP_FIRST}, then begin again"
                ) from None
            finally:
                await writing.end()

    async def _write(self, states: Sequence[NewState], token: Token, writing: _Writing) -> None:
        tasks: dict[int, Task] = {}
        obsolete: dict[int, list[bytes]] = {}
        for state in states:
            barrier = await self._cluster.barrier(state.partition, encode_barrier(Barrier(NAME, token.generation)))
            held = await self._held(state.partition, barrier)
            own = {key: value for key, value in held.items() if key.startswith(ENGINES_OWN)}
            if own != state.own:
                raise Refused(
                    f"the changelog of partition {state.partition} was written to meanwhile, nothing was changed: look "
                    "again with a dry run"
                )
            task = tasks[state.partition] = Task(
                state.partition,
                KeptState,
                self._settings.topics.partitions,
                APPLICATION_VERSION,
                self._settings.engine.application_id,
            )
            task.changelog_next = barrier + 1
            obsolete[state.partition] = [key for key in held if key not in state.state and key not in own]
        # A progress record speaks of the state beside it, which is about to change.
        replaced: list[Change] = [(PROGRESS_KEY, None)]
        await writing.commit(
            [_Part(tasks[state.partition], replaced, _mirror(state)) for state in states if PROGRESS_KEY in state.own]
        )
        for state in states:
            changes = _changes(state.state, obsolete[state.partition])
            for chunk in _chunks(changes, self._settings.engine.max_batch_bytes):
                await writing.commit([_Part(tasks[state.partition], chunk, _mirror(state))])
        await writing.commit([_Part(tasks[state.partition], _last(state), state.next_offset) for state in states])

    async def _held(self, partition: int, barrier: int, each: Each | None = None) -> dict[bytes, bytes]:
        """The newest values up to the record at this offset; of the fold's keys without their values."""
        held: dict[bytes, bytes] = {}
        told = False

        def take(key: bytes, value: bytes | None) -> None:
            if each is not None and not key.startswith(ENGINES_OWN):
                each(key, value)
            if value is None:
                held.pop(key, None)
            elif key != BARRIER_KEY:
                held[key] = value if key.startswith(ENGINES_OWN) else b""

        def waiting(position: int) -> None:
            nonlocal told
            if not told:
                log.warning(
                    "changelog of partition %d: waiting at offset %d for a transaction to end", partition, position
                )
                told = True

        while not await self._cluster.read_changelog(partition, barrier, take, waiting):
            held.clear()
        return held


class _Writing:
    """Transactions under one token, each of them again in a new epoch after a doubt: the same records once more."""

    def __init__(self, cluster: KafkaCluster, settings: Settings, token: Token) -> None:
        self._cluster = cluster
        self._token = token
        self._timeout_s = settings.engine.transaction_timeout_ms / 1000
        self._epoch: Epoch | None = None

    async def begin(self) -> Epoch:
        """A new epoch; whatever an older one left open is ended by that."""
        await self.end()
        self._epoch = await self._cluster.open_epoch()
        return self._epoch

    async def end(self) -> None:
        """Close the epoch."""
        if self._epoch is not None:
            await self._epoch.close()

    async def commit(self, parts: Sequence[_Part]) -> None:
        """Raises `Fenced`, and `Refused` where the cluster goes on not answering."""
        if not parts:
            return
        epoch = self._epoch or await self.begin()
        for attempt in range(1, ATTEMPTS + 1):
            batch = Batch(self._token, epoch, 0.0)
            for part in parts:
                entry = batch.entry(part.task)
                entry.position = part.position
                for key, value in part.changes:
                    entry.buffer.change(key, value)
            try:
                await commit(batch, self._timeout_s)
            except InDoubt as doubt:
                if attempt == ATTEMPTS:
                    raise Refused(
                        f"no transaction succeeded, last: {doubt}; look with a dry run, then begin again"
                    ) from None
                log.warning("new epoch after: %s", doubt)
                epoch = await self.begin()
            else:
                return


def _mirror(state: NewState) -> int:
    """The group's offset while nothing speaks for the state yet: as it was, if it was."""
    return state.next_offset if state.committed is None else state.committed


def _changes(state: Mapping[bytes, bytes], obsolete: Iterable[bytes]) -> Iterator[Change]:
    """Of the fold's records."""
    for key in obsolete:
        yield key, None
    for key, value in state.items():
        if not key.startswith(ENGINES_OWN):
            yield key, value


def _last(state: NewState) -> list[Change]:
    """An operator's words are kept with the progress that they led to: what was begun and not finished leaves none."""
    words: list[Change] = [item for item in state.state.items() if item[0].startswith(ENGINES_OWN)]
    return [*words, (PROGRESS_KEY, state.progress)]


def _chunks(changes: Iterable[Change], most_bytes: int) -> Iterator[list[Change]]:
    """In order; each but the last a little larger than ``most_bytes``."""
    chunk: list[Change] = []
    size = 0
    for key, value in changes:
        chunk.append((key, value))
        size += len(key) + len(value or b"")
        if size >= most_bytes:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
