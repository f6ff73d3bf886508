"""Structured inputs: a stream of sessions that behave, with events among them that do not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

from schemas.events import StateFields
from tests.fuzz.atoms import FALSE, FLOATS, NULL, ODD, TEXTS, TRUE, Atom, atom, listing, mapping
from tests.fuzz.damage import damaged
from tests.fuzz.inputs import Headers, Input

NOW_MS: Final = 1_760_000_000_000
MIB: Final = 1024 * 1024

Pair = tuple[Atom, Atom]


class Name(NamedTuple):
    """A session and how it is written."""

    text: Atom
    key: bytes


def _name(text: str) -> Name:
    return Name(atom(text), text.encode())


SESSION_ID, SEQUENCE, TIMESTAMP, STATE = map(atom, ("session_id", "sequence", "timestamp", "state"))
SESSIONS = [_name(text) for text in ("s0", "s1", "s2", "é", "\x00", "\U0001d4b3" * 64, "s" * 256)]
SCORES = [atom(value) for value in (0.0, 0.05, 0.15, 0.2, 0.25, 0.35, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.85, 0.9, 1)]
LAMBDAS = [atom(value) for value in (0, 0.01, 0.039, 0.04, 0.05, 0.08, 0.0801, 0.2)]
FIELDS = [*(atom(name) for name in StateFields.__struct_fields__), atom("mood"), atom(""), atom("\x00")]
NOVELTY, AESTHETIC, VOLATILITY, LAMBDA, OVERRIDE, FORCE = map(
    atom, ("novelty", "aesthetic_score", "volatility", "lambda_max", "emergency_override", "force_inject")
)
EXTRAS = [
    (atom("mood"), atom("restless")),
    (atom("temperature"), atom(0.9)),
    (atom("conversation_stalled"), TRUE),
    (atom("user_comfort"), atom(0.2)),
    (atom("user_id"), atom("u1")),
    (atom("coherence"), atom("high")),
    (atom("further"), atom([1, {"a": None}])),
]
TIMES = [atom(text) for text in ("2026-01-01T00:00:00Z", "yesterday", "", "\x00" * 64, "\U0001d4b3" * 64)]
CONTENT_TYPES = (
    *(b"application/json", b"application/msgpack", b"APPLICATION/X-MSGPACK ; v=1", b"application/vnd.msgpack"),
    *(b"text/xml", b"", b"\xff", b"application/json\x00", b";", None),
)
MSGPACK: Final[Headers] = (("content-type", b"application/msgpack"),)
TRACE: Final[Headers] = (("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("own", b"\x00"))
ODD_HEADERS: tuple[Headers, ...] = (
    (("content-type", b"text/xml"), ("content-type", b"application/json")),
    (("content-type", b"application/json"), ("content-type", b"application/msgpack")),
    (("traceparent", None), ("tracestate", b"\xff\x00")),
    (("error.code", b"no"), ("source.offset", b"-1"), ("", b"")),
    (("Content-Type", b"application/msgpack"), ("é\x00", b"x" * 300)),
    (("own", b"x" * 65536),),
)
TIME_STEPS_MS = (0, 1, 40, 40, 40, 1000, 4000, -1000, 3_600_001)
WHITE = (b"", b"", b"", b" ", b"\n\t ", b"\xef\xbb\xbf")


class Grammar:
    """An endless stream of inputs; what it gives follows from the dice and the pool alone."""

    def __init__(self, dice: Random, pool: Sequence[Input], large: bool = True) -> None:
        self.dice = dice
        self.pool = pool
        self.large = large
        self._random = dice.random
        self._time_ms = NOW_MS
        self._numbers = [0] * len(SESSIONS)
        self._state: list[Pair] = []
        self._repeats = 0
        self._session = 0
        self._last = b""

    def inputs(self, count: int) -> list[Input]:
        """The next inputs."""
        return [self.input() for _ in range(count)]

    def input(self) -> Input:
        """The next input: from the grammar, or a damaged copy of something seen."""
        random = self._random
        self._time_ms += TIME_STEPS_MS[int(random() * len(TIME_STEPS_MS))]
        turn = random()
        if turn < 0.2 and self.pool:
            return self._damaged_copy()
        if turn > 0.9998 and self.large:
            return self._large()
        made = self._event()
        if made.value is not None and random() < 0.05:
            value = damaged(self.dice, made.value, self._last)
            self._last = made.value
            return Input(value, made.key, made.headers, made.timestamp)
        self._last = made.value or b""
        return made

    def _pick(self, choices: Sequence[Atom]) -> Atom:
        return choices[int(self._random() * len(choices))]

    def _damaged_copy(self) -> Input:
        pool, random = self.pool, self._random
        chosen = pool[int(random() * len(pool))]
        if chosen.value is None or random() < 0.2:
            return Input(chosen.value, chosen.key, chosen.headers, self._timestamp())
        other = pool[int(random() * len(pool))].value or self._last
        value = damaged(self.dice, chosen.value, other)
        key = chosen.key if random() < 0.9 else damaged(self.dice, chosen.key or b"", value[:20])
        headers = chosen.headers
        if random() < 0.1:
            headers = self._headers(msgpack=random() < 0.5)
        return Input(value, key, headers, self._timestamp())

    def _event(self) -> Input:
        random = self._random
        if self._repeats:
            self._repeats -= 1
        else:
            self._session = int(random() ** 2 * len(SESSIONS))
            self._state = self._new_state()
            self._repeats = int(random() * 6)
        session = SESSIONS[self._session]
        pairs: list[Pair] = []
        if random() < 0.9:
            pairs.append((SESSION_ID, session.text if random() < 0.98 else self._pick(ODD)))
        if random() < 0.4:
            pairs.append((SEQUENCE, self._sequence()))
        if random() < 0.2:
            pairs.append((TIMESTAMP, self._pick(TIMES) if random() < 0.8 else self._pick(ODD)))
        if random() < 0.95:
            pairs.append((STATE, mapping(self._state) if random() < 0.98 else self._pick(ODD)))
        else:
            pairs += self._state
        while random() < 0.05:
            pairs.insert(int(random() * (len(pairs) + 1)), self._disorder(pairs))
        if random() < 0.05:
            self.dice.shuffle(pairs)
        msgpack = random() < 0.3
        value = mapping(pairs)[msgpack]
        if random() < 0.02:
            white = WHITE[int(random() * len(WHITE))]
            value = white + value + WHITE[int(random() * len(WHITE))]
        return Input(
            value if random() < 0.998 else (None if random() < 0.5 else b""),
            self._key(session),
            self._headers(msgpack=msgpack),
            self._timestamp(),
        )

    def _new_state(self) -> list[Pair]:
        random = self._random
        state = [(NOVELTY, self._pick(SCORES)), (AESTHETIC, self._pick(SCORES))]
        if random() < 0.6:
            state.append((VOLATILITY, self._pick(SCORES)))
        if random() < 0.3:
            state.append((LAMBDA, self._pick(LAMBDAS)))
        if random() < 0.05:
            state.append((OVERRIDE, TRUE if random() < 0.5 else FALSE))
        if random() < 0.05:
            state.append((FORCE, TRUE))
        while random() < 0.15:
            state.append(EXTRAS[int(random() * len(EXTRAS))])
        while random() < 0.12:
            name = self._pick(FIELDS)
            state.append((name, self._pick(ODD) if random() < 0.6 else self._pick(FLOATS)))
        while random() < 0.03:
            del state[int(random() * len(state)) :]
        return state

    def _sequence(self) -> Atom:
        random = self._random
        if random() < 0.04:
            return self._pick(ODD)
        number = self._numbers[self._session]
        if random() < 0.85:
            self._numbers[self._session] = number + 1
        else:
            number = max(0, number - int(random() * 4))
        # Small numbers are one byte in MessagePack, all others as wide as they can be.
        packed = bytes([number]) if number < 128 else b"\xcf" + number.to_bytes(8, "big")
        return Atom(b"%d" % number, packed)

    def _disorder(self, pairs: list[Pair]) -> Pair:
        """A pair that does not belong: a name twice, a further field, a key that is no text."""
        random = self._random
        kind = int(random() * 4)
        if kind == 0 and pairs:
            return pairs[int(random() * len(pairs))]
        if kind == 1:
            return self._pick(ODD), self._pick(ODD)
        if kind == 2:
            return self._pick(TEXTS), listing([self._pick(ODD) for _ in range(int(random() * 20))])
        return self._pick(FIELDS), self._pick(ODD)

    def _key(self, session: Name) -> bytes | None:
        turn = self._random()
        if turn < 0.6:
            return session.key
        if turn < 0.94:
            return None
        odd = (b"", b"\xff\xfe", b"s0", b"other", b"k" * 300, b"\x00", "é".encode())
        return odd[int(self._random() * len(odd))]

    def _headers(self, *, msgpack: bool) -> Headers:
        random = self._random
        turn = random()
        if turn < 0.9:
            return MSGPACK if msgpack else ()
        if turn < 0.95:
            return (*TRACE, *MSGPACK) if msgpack else TRACE
        if turn < 0.98:
            return (("content-type", CONTENT_TYPES[int(random() * len(CONTENT_TYPES))]),)
        return ODD_HEADERS[int(random() * len(ODD_HEADERS))]

    def _timestamp(self) -> int:
        turn = self._random()
        if turn < 0.98:
            return self._time_ms
        return -1 if turn < 0.9995 else 253_402_300_800_000  # the year 10000: all sessions expire

    def _large(self) -> Input:
        """An event of up to a megabyte and a little more, dense with one kind of value."""
        random = self._random
        session = SESSIONS[0]
        size = int((0.3 + 0.71 * random()) * MIB) if random() < 0.1 else int(random() * MIB / 16)
        piece = DENSE[int(random() * len(DENSE))]
        count = size // (max(len(piece.json), 1) + 1)
        if random() < 0.5:
            inner = b"[" + b",".join([piece.json] * count) + b"]"
            text = json.dumps({"session_id": session.text.json[1:-1].decode()})[:-1].encode()
            place = b',"state":{"novelty":0.9,"x":' if random() < 0.5 else b',"x":'
            value = text + place + inner + (b"}}" if b"state" in place else b"}")
            return Input(value, session.key, (), self._timestamp())
        count = size // max(len(piece.msgpack), 1)
        inner = b"\xdd" + count.to_bytes(4, "big") + piece.msgpack * count
        inner = b"\x82\xa7novelty" + FLOATS[3].msgpack + b"\xa1x" + inner
        value = b"\x82\xaasession_id" + session.text.msgpack + b"\xa5state" + inner
        return Input(value, session.key, MSGPACK, self._timestamp())


# What a large event is full of: small things that need much memory or time when they are decoded.
DENSE = [
    atom([]),
    atom({}),
    NULL,
    atom(0),
    atom(1e22),
    atom(""),
    atom("ab"),
    atom([[], []]),
    atom({"": {}}),
    Atom(b'"\\u0001"', b"\xa1\x01"),
    Atom(b"1e15", b"\xc4\x00"),
    Atom(b"1" * 4000, b"\x81\x00\x80"),
    Atom(b"0." + b"3" * 2000, b"\x81\x00\x81\x00\x81\x00\x81\x00\x81\x00\x81\x00\x81\x00\x80"),
    atom({"a": 1, "b": [0]}),
    Atom(b"\\", b"\xd4\x00\x00"),
]
