"""Encoders and decoders of what the processor writes, built once.

Both formats carry the same fields; `msgpack` says which one the input record had and the output gets.
"""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.actions import Action
from schemas.metrics import Metric

encode_json: Final = msgspec.json.Encoder().encode
encode_msgpack: Final = msgspec.msgpack.Encoder().encode

_action_from_json = msgspec.json.Decoder(Action).decode
_action_from_msgpack = msgspec.msgpack.Decoder(Action).decode
_metric_from_json = msgspec.json.Decoder(Metric).decode
_metric_from_msgpack = msgspec.msgpack.Decoder(Metric).decode


def encode(record: Action | Metric, *, msgpack: bool = False) -> bytes:
    """The value of an output record."""
    return encode_msgpack(record) if msgpack else encode_json(record)


def decode_action(value: bytes, *, msgpack: bool = False) -> Action:
    """An action record's value; fields of later versions are ignored. Raises `msgspec.DecodeError`."""
    return _action_from_msgpack(value) if msgpack else _action_from_json(value)


def decode_metric(value: bytes, *, msgpack: bool = False) -> Metric:
    """A metric record's value; fields of later versions are ignored. Raises `msgspec.DecodeError`."""
    return _metric_from_msgpack(value) if msgpack else _metric_from_json(value)
