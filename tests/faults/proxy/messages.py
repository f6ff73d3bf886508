"""Bodies of requests and replies, where the proxy has to look into them or to make one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from typing import Any

from aiokafka.protocol.api import RequestHeader_v1, RequestHeader_v2, RequestStruct, Response
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
)
from aiokafka.protocol.types import Array, Bytes, Schema, String, TaggedFields

from processor.backends.kafka.protocol import AllowedOperations, FencedTxnOffsetCommit
from tests.faults.proxy.frames import API_KEYS, Request

Address = tuple[str, int]

_KINDS: tuple[Any, ...] = (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    AllowedOperations,
    EndTxnRequest,
    FencedTxnOffsetCommit,
    FindCoordinatorRequest,
    HeartbeatRequest,
    InitProducerIdRequest,
    JoinGroupRequest,
    MetadataRequest,
    ProduceRequest,
    SyncGroupRequest,
)
_STRUCTS: dict[tuple[int, int], type[RequestStruct]] = {
    (struct.API_KEY, struct.API_VERSION): struct for kind in _KINDS for struct in kind._CLASSES
}


def _struct_of(request: Request) -> type[RequestStruct]:
    struct = _STRUCTS.get((request.api_key, request.version))
    assert struct is not None, f"{request.api} version {request.version} of {request.client_id} is not known here"
    return struct


def decode_request(request: Request) -> Any:
    """The body, with the fields of its schema as attributes."""
    struct = _struct_of(request)
    stream = BytesIO(request.frame)
    (RequestHeader_v2 if struct.FLEXIBLE_VERSION else RequestHeader_v1).SCHEMA.decode(stream)
    return struct.decode(stream)


def decode_reply(request: Request, frame: bytes) -> Any:
    """The body of the reply to a request."""
    struct = _struct_of(request)
    stream = BytesIO(frame)
    struct.parse_response_header(struct, stream)  # type: ignore[arg-type]  # it reads one attribute of the class
    return struct.RESPONSE_TYPE.decode(stream)


def encode_reply(request: Request, reply: Response) -> bytes:
    """The frame of a reply to a request, without its length."""
    tags = b"\x00" if _struct_of(request).FLEXIBLE_VERSION else b""
    return request.correlation_id.to_bytes(4, "big") + tags + reply.encode()


# Addresses ---------------------------------------------------------------------------------------------------


def with_addresses(request: Request, frame: bytes, moved: Callable[[Address], Address]) -> bytes:
    """The reply with every broker address in it replaced; other replies as they are."""
    if request.api_key not in (API_KEYS["Metadata"], API_KEYS["FindCoordinator"]):
        return frame
    reply = decode_reply(request, frame)
    if request.api_key == API_KEYS["Metadata"]:
        reply.brokers = [(node, *moved((host, port)), *rest) for node, host, port, *rest in reply.brokers]
    elif reply.error_code == 0:
        reply.host, reply.port = moved((reply.host, reply.port))
    return encode_reply(request, reply)


# Error codes -------------------------------------------------------------------------------------------------


def error_codes(reply: Response) -> set[int]:
    """All error codes in a reply, 0 among them where something succeeded."""
    return set(_codes(reply.SCHEMA, [reply.get_item(name) for name in reply.SCHEMA.names]))


def _codes(schema: Schema, values: Sequence[Any]) -> Iterator[int]:
    for name, field, value in zip(schema.names, schema.fields, values, strict=True):
        if name == "error_code":
            yield value
        elif isinstance(field, Array) and isinstance(field.array_of, Schema):
            for element in value or ():
                yield from _codes(field.array_of, element)


def refusal(request: Request, code: int) -> bytes:
    """An answer in which everything the request asks for has this error code."""
    struct = _struct_of(request)
    topics = getattr(decode_request(request), "topics", ())
    fields = _refused(struct.RESPONSE_TYPE.SCHEMA, code, topics)
    return encode_reply(request, struct.RESPONSE_TYPE(*fields))


def _refused(schema: Schema, code: int, elements: Iterable[Any], **known: Any) -> list[Any]:
    """Values for a reply's schema: ``elements`` are the request's topics, then the partitions of one of them."""
    values: list[Any] = []
    for name, field in zip(schema.names, schema.fields, strict=True):
        if name == "error_code":
            values.append(code)
        elif name in known:
            values.append(known[name])
        elif isinstance(field, Array):
            inner = field.array_of
            if isinstance(inner, Schema) and "topic" in inner.names:
                values.append([_refused(inner, code, topic[1], topic=topic[0]) for topic in elements])
            elif isinstance(inner, Schema) and "partition" in inner.names:
                numbers = [part if isinstance(part, int) else part[0] for part in elements]
                values.append([_refused(inner, code, (), partition=number) for number in numbers])
            else:
                values.append([])
        else:
            values.append(_nothing(field))
    return values


def _nothing(field: Any) -> Any:
    if field is TaggedFields:
        return {}
    if isinstance(field, String):
        return ""
    return b"" if field is Bytes else 0
