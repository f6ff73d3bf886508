"""The fold over one input partition: records in, actions, metrics, dead letters and state changes out.

Everything here is a function of the records and the configuration: never of the clock, of where a batch was
cut, or of which worker runs it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import UNSET

from processor.config import APPLICATION_VERSION, Settings, behaviour_fingerprint, behaviour_text
from processor.errors import Refused
from processor.loop.changelog import Changes, session_keys, write_era, write_model, write_session
from processor.loop.diary import Diary, LogEvent
from processor.loop.injection import SUCCESS_GAIN
from processor.loop.intake import StateRefused
from processor.loop.ports import Outputs, Record
from processor.loop.pretraining import Pretraining, read_pretraining
from processor.loop.quality import QualityModel
from processor.loop.record_time import rfc3339_utc
from processor.loop.restoring import StoredPartition
from processor.loop.rules import Rules
from processor.loop.session import MODES, Session
from processor.loop.step import FeedbackLoop
from schemas.actions import Action, CompletedInjection
from schemas.codec import encode_json, encode_msgpack
from schemas.dead_letters import dead_letter_headers, fitted
from schemas.errors import InvalidRecord
from schemas.events import EventDecoder, Limits, StateEvent
from schemas.headers import MSGPACK_CONTENT_TYPE, SOURCE_OFFSET, TRACE_HEADERS, Header, is_msgpack, stored_bytes
from schemas.state_records import FORMAT, EraRecord, Marks, decode_marks, encode_state
from topology.topics import INPUT_HEADROOM_BYTES

# W3C asks to pass on 512 characters of trace state; what is far beyond that is no trace, and would make actions
# larger than their topic allows.
MAX_TRACE_BYTES = 4096

# Expired sessions forgotten at one record, so that a long silence does not end in one huge transaction.
RECLAIMED_PER_RECORD = 4


class PartitionFold:
    """All sessions of one input partition.

    `topic` and `partition` name the input in dead letters and messages. With `keeps_diary`, or where the settings ask
    for debug records, what happens to sessions is written down. Raises `ConfigError` where the settings name profiles,
    selectors or a history that cannot be had.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        partition: int,
        pretraining: Pretraining | None = None,
        *,
        keeps_diary: bool = False,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.rules = Rules(settings)
        self.pretraining = read_pretraining(self.rules) if pretraining is None else pretraining
        self.shared_model: QualityModel | None = None
        if settings.quality.scope == "shared":
            self.shared_model = self.pretraining.model(None) or QualityModel()
        self.loop = FeedbackLoop(self.rules, self.shared_model)
        self._decoder = EventDecoder(
            Limits(settings.engine.max_event_bytes, settings.engine.max_event_depth), self.rules.wants_signals
        )
        self._dead_letter_bytes = settings.engine.max_event_bytes + INPUT_HEADROOM_BYTES
        self.session_ttl_ms = settings.engine.session_ttl_ms
        fingerprint = bytes.fromhex(behaviour_fingerprint(settings))
        self.fingerprint = bytes(
            left ^ right for left, right in zip(fingerprint, self.pretraining.digest or bytes(16), strict=True)
        )
        self.configuration_changed = False  # since the state was written; known after `restored`
        self._shaped_by = self.fingerprint  # what shaped the last records, before the first ones: what will
        self._era_recorded = False
        self._initial_era = True
        self._new_era: EraRecord | None = None
        self.stream_time_ms = -1
        # In the order of their last accepted record, which is also the order in which they expire.
        self.sessions: OrderedDict[str, Session] = OrderedDict()
        self._reclaim_after_ms = -1
        self._dirty: list[Session] = []
        self._dead_keys: dict[bytes, None] = {}
        self._stored = StoredPartition()
        self._modes = dict.fromkeys(MODES, 0)
        self._gain = 0.0
        self._completed = 0
        self._trained = 0
        self._tally: dict[str, float] = {}
        self._diary = Diary() if keeps_diary or settings.loop.debug else None

    def process(self, records: Sequence[Record], out: Outputs) -> None:
        """Consume `records` in order; see `Fold.process`."""
        if records and not self._era_recorded:
            self._begin_era(records[0].offset)
        sessions = self.sessions
        step = self.loop.step
        decode = self._decoder.decode
        ttl = self.session_ttl_ms
        put_action, put_metric = out.action, out.metric
        dirty = self._dirty
        stream_time = self.stream_time_ms
        reclaim_after = self._reclaim_after_ms
        actions = metrics = duplicates = 0
        for record in records:
            time_ms = record.timestamp
            if time_ms is None:
                time_ms = -1
            if time_ms > stream_time:
                stream_time = self.stream_time_ms = time_ms
            if stream_time > reclaim_after:
                self._reclaim(stream_time)
                reclaim_after = self._reclaim_after_ms
            headers = record.headers
            msgpack = False
            encode = encode_json
            try:
                if headers and is_msgpack(headers):
                    msgpack = True
                    encode = encode_msgpack
                event = decode(record.value, record.key, msgpack)
            except InvalidRecord as error:
                self._dead_letter(record, error, out)
                continue
            session_id = event.session_id
            session = sessions.get(session_id)
            sequence = event.sequence
            if session is not None:
                if stream_time - session.last_time_ms > ttl:
                    self._forget(session)
                    session = None
                elif sequence is not None and sequence <= session.last_sequence:
                    duplicates += 1
                    continue
            if event.timestamp is None and time_ms >= 0:
                event.timestamp = rfc3339_utc(time_ms)
            offset = record.offset
            # The JSON of an integer is its decimal text, several times faster than formatting.
            output_headers: list[Header] = [(SOURCE_OFFSET, encode_json(offset))]
            if headers:
                output_headers += _carried(headers, msgpack)
            actions += 1
            if session is None:
                session = self._new_session(session_id)
                try:
                    action, metric = step(session, event)
                except StateRefused as error:
                    self._refuse(record, event, None, str(error), output_headers, out)
                    continue
                sessions[session_id] = session
                self._modes["stable"] += 1
                self._trained += session.model is not None and session.model.weights is not None
                self._count("sessions.created")
            else:
                try:
                    action, metric = step(session, event)
                except StateRefused as error:
                    self._refuse(record, event, session, str(error), output_headers, out)
                    continue
                sessions.move_to_end(session_id)
            session.last_time_ms = stream_time
            session.last_offset = offset
            if sequence is not None:
                session.last_sequence = sequence
            if not session.dirty:
                session.dirty = True
                dirty.append(session)
            put_action(session.key, encode(action), output_headers)
            if metric is not None:
                metrics += 1
                put_metric(session.key, encode(metric), output_headers)
            if action.mode_changed is not UNSET:
                self._count_transition(session, action)
                if self._diary is not None:
                    self._diary.write(session, action)
        for name, count in (
            ("events", len(records)),
            ("actions", actions),
            ("metrics", metrics),
            ("duplicates", duplicates),
        ):
            if count:
                self._count(name, count)

    def changes(self) -> Iterable[tuple[bytes, bytes | None]]:
        """State records changed since the last call; see `Fold.changes`."""
        changes: Changes = {}
        if self._new_era is not None:
            write_era(self._new_era, changes)
            self._new_era = None
        changes.update(dict.fromkeys(self._dead_keys))
        self._dead_keys = {}
        for session in self._dirty:
            # A session forgotten since it was touched has its tombstones already.
            if self.sessions.get(session.session_id) is session:
                write_session(session, self.rules, changes)
            session.dirty = False
        self._dirty.clear()
        shared = self.shared_model
        if shared is not None and shared.saved_count != shared.count:
            write_model(shared, self.rules.model, b"", changes)
        return changes.items()

    def marks(self) -> bytes:
        """Stream time and the fingerprint of the last records' behaviour, about 30 bytes."""
        return encode_state(Marks(FORMAT, self.stream_time_ms, self._shaped_by))

    def tally(self) -> Mapping[str, float]:
        """Counters since the last call; see `Fold.tally`.

        Names: ``events``, ``actions``, ``metrics``, ``duplicates``, ``dead_letters.CODE``, ``sessions.created``,
        ``sessions.expired``, ``transitions.MODE`` (entered); of completed explorations ``explorations.PROFILE``,
        ``exploration_steps.PROFILE``, ``gains.PROFILE``, ``successes``, ``gain``, ``predictions`` and
        ``prediction_error_squared``; ``aborted``, ``fits`` of quality models, ``diary_left_out`` (transitions).
        """
        tally, self._tally = self._tally, {}
        if self._diary is not None and self._diary.left_out:
            tally["diary_left_out"], self._diary.left_out = self._diary.left_out, 0
        return tally

    def diary(self) -> Sequence[LogEvent]:
        """Where one is kept: what happened since the last call."""
        return () if self._diary is None else self._diary.read()

    def figures(self) -> Mapping[str, float]:
        """How things stand: ``sessions.MODE``, ``gain`` (the sum of the sessions' cumulative gains), ``explorations``
        (completed ones of these sessions), ``models.trained`` and ``stream_time_ms``."""
        trained = self._trained
        if self.shared_model is not None:
            trained = int(self.shared_model.weights is not None)
        return {
            **{f"sessions.{mode}": count for mode, count in self._modes.items()},
            "gain": self._gain,
            "explorations": self._completed,
            "models.trained": trained,
            "stream_time_ms": self.stream_time_ms,
        }

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take one state record; raises `Refused` on an unknown key, a newer format or other bytes."""
        try:
            self._stored.take(key, value)
        except ValueError as error:
            raise self._corrupt(str(error)) from None

    def restored(self, marks: bytes) -> None:
        """Assemble the sessions from what was restored; raises `Refused` on corrupt or newer state."""
        stored, self._stored = self._stored, StoredPartition()
        try:
            if marks:
                known = decode_marks(marks)
                self.stream_time_ms = known.stream_time_ms
                self._shaped_by = known.fingerprint
                self.configuration_changed = known.fingerprint != self.fingerprint
            self._continue_era(stored.era)
            sessions = stored.sessions(self.rules, self.loop.injector)
            shared = stored.shared_model(self.rules.model)
        except ValueError as error:
            raise self._corrupt(str(error)) from None
        for session in sessions:
            self.sessions[session.session_id] = session
            self._modes[session.mode] += 1
            self._gain += session.cumulative_gain
            self._completed += session.completed
            self._trained += session.model is not None and session.model.weights is not None
        if shared is not None and self.shared_model is not None:
            self.shared_model = self.loop.injector.shared_model = shared

    def _continue_era(self, era: EraRecord | None) -> None:
        if era is not None:
            known = era.fingerprint, era.application_version
            self._era_recorded = known == (self.fingerprint, APPLICATION_VERSION)
        self._initial_era = era is None and self.stream_time_ms < 0

    def _begin_era(self, first_offset: int) -> None:
        """What changes behaviour goes into the log with the first records it shapes."""
        self._era_recorded = True
        self._shaped_by = self.fingerprint
        self._new_era = EraRecord(
            FORMAT,
            first_offset,
            APPLICATION_VERSION,
            self.fingerprint,
            behaviour_text(self.rules.settings),
            self.pretraining.digest,
            self._initial_era,
        )

    def _corrupt(self, what: str) -> Refused:
        return Refused(
            f"changelog of {self.topic} partition {self.partition}: {what}; "
            "run the version that wrote it or a newer one, or restore the topic from before it was damaged, or delete "
            "it, run `creative-feedback topics apply`, then `creative-feedback rebuild`"
        )

    def _new_session(self, session_id: str) -> Session:
        session = Session(session_id)
        if self.shared_model is None:
            session.model = self.pretraining.model(session_id)
        return session

    def _reclaim(self, stream_time_ms: int) -> None:
        """Forget a few of the sessions that have expired, the longest silent first."""
        for _ in range(RECLAIMED_PER_RECORD):
            oldest = next(iter(self.sessions.values()), None)
            if oldest is None:
                self._reclaim_after_ms = stream_time_ms + self.session_ttl_ms
                return
            if stream_time_ms - oldest.last_time_ms <= self.session_ttl_ms:
                self._reclaim_after_ms = oldest.last_time_ms + self.session_ttl_ms
                return
            self._forget(oldest)

    def _forget(self, session: Session) -> None:
        del self.sessions[session.session_id]
        self._modes[session.mode] -= 1
        self._gain -= session.cumulative_gain
        self._completed -= session.completed
        self._trained -= session.model is not None and session.model.weights is not None
        self._dead_keys.update(dict.fromkeys(session_keys(session, self.rules)))
        self._count("sessions.expired")

    def _refuse(
        self,
        record: Record,
        event: StateEvent,
        session: Session | None,
        message: str,
        headers: list[Header],
        out: Outputs,
    ) -> None:
        """Answer a refused state with an action that says so; the record goes to the dead letters too."""
        action = self.loop.refusal(session, event, message)
        encode = encode_msgpack if MSGPACK_CONTENT_TYPE in headers else encode_json
        out.action(event.session_id.encode(), encode(action), headers)
        self._dead_letter(record, InvalidRecord("state_invalid", message), out)

    def _dead_letter(self, record: Record, error: InvalidRecord, out: Outputs) -> None:
        key, value, own_headers = fitted(record.key, record.value, record.headers, self._dead_letter_bytes)
        headers = dead_letter_headers(
            error,
            own_headers,
            topic=self.topic,
            partition=self.partition,
            offset=record.offset,
            timestamp_ms=-1 if record.timestamp is None else record.timestamp,
        )
        out.dead_letter(key, value, headers)
        self._count(f"dead_letters.{error.code}")

    def _count(self, name: str, amount: float = 1) -> None:
        self._tally[name] = self._tally.get(name, 0) + amount

    def _count_transition(self, session: Session, action: Action) -> None:
        self._modes[action.previous_mode] -= 1  # type: ignore[index]  # set where the mode changed
        self._modes[action.mode] += 1
        self._count(f"transitions.{action.mode}")
        ended = action.completed_injection
        if ended is UNSET:
            return
        gain = ended.creative_gain
        if gain is None:
            self._count("aborted")
            return
        self._count(f"explorations.{ended.entropy_profile}")
        self._count(f"exploration_steps.{ended.entropy_profile}", ended.steps_executed)
        self._count("gain", gain)
        self._count(f"gains.{ended.entropy_profile}", gain)
        self._gain += gain
        self._completed += 1
        self._count_learning(session, ended)
        if gain > SUCCESS_GAIN:
            self._count("successes")

    def _count_learning(self, session: Session, ended: CompletedInjection) -> None:
        predicted, gain = ended.predicted_gain, ended.creative_gain
        if predicted is not None and gain is not None:
            self._count("predictions")
            self._count("prediction_error_squared", (predicted - gain) ** 2)
        model = self.loop.injector.model(session)
        if model is not None and model.since_fit == 0 and model.version:
            self._count("fits")
            self._trained += model.version == 1


def _carried(headers: Iterable[Header], msgpack: bool) -> list[Header]:
    """The headers an output has because of its input's: the format and the trace context, unless that is none.

    The context is the producer's, as it came. A span of our own in its place would have a new id in each run, and a
    replay, or whoever takes over after a crash, would no longer write the same bytes.
    """
    carried = [header for header in headers if header[0] in TRACE_HEADERS]
    if stored_bytes(carried) > MAX_TRACE_BYTES:
        carried = []
    if msgpack:
        carried.append(MSGPACK_CONTENT_TYPE)
    return carried
