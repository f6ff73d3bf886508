"""Record batches damaged between the broker's log and the reader: the right records, or a named refusal to take them.

Where the damage leaves the checksum wrong, nothing but the right records may come out.  Where the checksum is made
right again, a broker or a producer meant it: then no exception, and no position that stands still or goes back.
Undamaged, a reply gives what was written and not aborted.
"""

from __future__ import annotations

import asyncio
import struct
from random import Random
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from processor.backends.kafka.reader import LATEST, Reader
from tests.fuzz.batches import input_batch
from tests.fuzz.damage import damaged
from tests.fuzz.grammar import Grammar
from tests.fuzz.inputs import placed
from tests.quiet import quiet

TOPIC = "tori.state"
FIRST = 1000  # offset of the first record
CODECS = (0, 0, 0, 1, 2, 3, 4)
_CRC_AT = 17  # behind base offset, length, leader epoch, magic

Row = tuple[int, int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]
Written = list[tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]]  # as a row, but for time


class NoConnection:
    """Stands for a cluster that knows no leader: the reader is given its replies by hand."""

    kafka = None

    def leader(self, topic: str, partition: int) -> int | None:
        return None

    async def refresh(self) -> None:
        await asyncio.Event().wait()


def fuzz_batches(dice: Random, count: int) -> list[str]:
    """`count` fetch replies."""
    with quiet():
        return asyncio.run(_fuzz(dice, count))


async def _fuzz(dice: Random, count: int) -> list[str]:
    findings: list[str] = []
    lost: list[str] = []
    connection: Any = NoConnection()
    reader = Reader(connection, TOPIC, lambda: None, lambda _, why: lost.append(why))
    try:
        for _ in range(count):
            data, end, aborted, written = _log(dice)
            whole = _received(reader, data, end, aborted, lost)
            if isinstance(whole, str):
                findings.append(f"undamaged batches {data.hex()}: {whole}")
                continue
            if [(offset, *row) for offset, _, *row in whole[0]] != written:
                findings.append(
                    f"undamaged batches {data.hex()} with end {end}: {len(whole[0])} of {len(written)} records"
                )
                continue
            mended = dice.random() < 0.5
            broken = _broken(dice, data, mended)
            if broken == data:
                continue
            complaint = _complaint(whole, _received(reader, broken, end, aborted, lost), end, mended, data, broken)
            if complaint is not None:
                findings.append(f"batches {broken.hex()} of {data.hex()} with end {end}: {complaint}")
    finally:
        await reader.close()
    return findings


Result = tuple[list[Row], int, bool, str | None]


def _received(reader: Reader, data: bytes, end: int, aborted: list[tuple[int, int]], lost: list[str]) -> Result | str:
    """Records, position behind them, whether it is asked again, why it is not read on; or what went wrong."""
    lost.clear()
    reader.seek(0, FIRST)
    try:
        again = reader._received(0, 0, end, [0, aborted, LATEST, data])
        taken = reader.take(1_000_000)
        rows = [
            (record.offset, record.timestamp, record.key, record.value, tuple(record.headers))
            for _, records, _ in taken
            for record in records
        ]
    except Exception as error:
        return f"the reader raised {error!r}"
    position = reader.position(0) if not lost else FIRST
    if lost and not lost[0].isprintable():
        return f"a message of more than one line: {lost[0]}"
    return rows, position, again, lost[0] if lost else None


def _complaint(whole: Result, found: Result | str, end: int, mended: bool, data: bytes, broken: bytes) -> str | None:
    if isinstance(found, str):
        return found
    rows, position, again, lost = found
    if not FIRST <= position <= end + len(broken):
        return f"position {position} outside {FIRST}..{end}"
    if position == FIRST and not again and lost is None:
        return "nothing came, nobody said why, and it would be asked for again at once"
    if mended:
        return None
    if rows != whole[0][: len(rows)] or (position != FIRST and [row for row in whole[0] if row[0] < position] != rows):
        return f"other records: {len(rows)} up to {position}, where {len(whole[0])} up to {whole[1]} are right"
    return None


def _log(dice: Random) -> tuple[bytes, int, list[tuple[int, int]], Written]:
    """One to four batches with their end, the aborted transactions among them, and what is to be read of them."""
    data = b""
    offset = FIRST
    aborted: list[tuple[int, int]] = []
    written: Written = []
    for producer in range(1 + int(dice.random() * 4)):
        count = 1 + int(dice.random() * 4)
        kind = int(dice.random() * 4)
        records = placed(Grammar(dice, (), large=False).inputs(count), offset)
        if kind != 2:
            written += [(record.offset, record.key, record.value, tuple(record.headers)) for record in records]
        if kind == 0:
            data += input_batch(records)
            offset += count
            continue
        transactional = kind > 1
        data += _batch(
            offset,
            [(record.key, record.value, list(record.headers)) for record in records],
            dice.choice(CODECS),
            producer if transactional else -1,
            attributes=0x10 if transactional else 0,
        )
        if transactional:
            if kind == 2:
                aborted.append((producer, offset))
            offset += count
            marker = struct.pack(">HH", 0, 0 if kind == 2 else 1)
            data += _batch(offset, [(marker, bytes(6), [])], 0, producer, attributes=0x30)
            offset += 1
        else:
            offset += count + int(dice.random() * 2)  # compaction leaves holes
    return data, offset, aborted, written


def _batch(offset: int, rows: list[Any], codec: int, producer: int, attributes: int) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=False,
        producer_id=producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 30,
    )
    for number, (key, value, headers) in enumerate(rows):
        builder.append(number, 1_760_000_000_000 + number, key, value, headers)
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, offset)
    data[22] |= attributes
    return _with_checksum(data)


def _with_checksum(data: bytearray) -> bytes:
    struct.pack_into(">I", data, _CRC_AT, calc_crc32c(bytes(data[21:])))
    return bytes(data)


def _broken(dice: Random, data: bytes, mended: bool) -> bytes:
    """The data with something changed; `mended`: inside one batch, whose length and checksum are right again."""
    if not mended and dice.random() < 0.2:
        return data[: int(dice.random() * len(data))]
    starts = [0]
    while starts[-1] < len(data):
        starts.append(starts[-1] + 12 + struct.unpack_from(">i", data, starts[-1] + 8)[0])
    index = int(dice.random() * (len(starts) - 1))
    batch = data[starts[index] : starts[index + 1]]
    if not mended:
        # A changed base offset or leader epoch is told by no checksum, and by nothing else.
        at = _CRC_AT if dice.random() < 0.7 else 8
        return data[: starts[index] + at] + damaged(dice, batch[at:], batch) + data[starts[index + 1] :]
    if dice.random() < 0.5:
        body = bytearray(batch[:61] + damaged(dice, batch[61:], batch[70:]))
    else:
        body = bytearray(batch)
        at = 21 + int(dice.random() * 40)
        body[at] = int(dice.random() * 256)
    struct.pack_into(">i", body, 8, len(body) - 12)
    return data[: starts[index]] + _with_checksum(body) + data[starts[index + 1] :]
