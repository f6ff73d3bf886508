"""Is a broker ready? Asked in Kafka's own protocol, over a plain socket.

An open port is not readiness: a broker accepts connections before the controller lets it lead partitions.
Metadata v1 (api key 3) tells both: fenced brokers are absent, and a partition without a leader is marked.
"""

from __future__ import annotations

import socket
import struct

import msgspec

_METADATA_API, _METADATA_VERSION = 3, 1


class PartitionView(msgspec.Struct, frozen=True):
    """One partition as the asked broker sees it; `leader` is -1 where there is none."""

    topic: str
    partition: int
    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]


class ClusterView(msgspec.Struct, frozen=True):
    """Unfenced brokers and all partitions, as one broker knows them."""

    brokers: frozenset[int]
    partitions: tuple[PartitionView, ...]

    def serves(self, node: int) -> bool:
        """The node takes part, and every partition it holds a copy of has a leader."""
        return node in self.brokers and all(p.leader >= 0 for p in self.partitions if node in p.replicas)


def cluster_view(host: str, port: int, timeout_s: float = 2.0) -> ClusterView:
    """Ask one broker for its view. Raises `OSError` when it cannot be reached or hangs up."""
    # header: api key, api version, correlation id, no client id; body: null array = all topics
    request = struct.pack(">hhihi", _METADATA_API, _METADATA_VERSION, 1, -1, -1)
    with socket.create_connection((host, port), timeout=timeout_s) as connection:
        if connection.getsockname() == connection.getpeername():
            raise ConnectionError("the socket connected to itself: nothing listens on that port")
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size_bytes,) = struct.unpack(">i", _exactly(connection, 4))
        reader = _Reader(_exactly(connection, size_bytes)[4:])
    brokers = frozenset(_broker(reader) for _ in range(reader.int32()))
    reader.int32()  # the controller
    partitions = [view for _ in range(reader.int32()) for view in _topic(reader)]
    return ClusterView(brokers, tuple(partitions))


def _exactly(connection: socket.socket, size_bytes: int) -> bytes:
    received = bytearray()
    while len(received) < size_bytes:
        piece = connection.recv(size_bytes - len(received))
        if not piece:
            raise ConnectionError("the broker closed the connection")
        received += piece
    return bytes(received)


class _Reader:
    """Kafka's primitive types, in the order they come."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def int8(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def int16(self) -> int:
        (value,) = struct.unpack_from(">h", self._data, self._at)
        self._at += 2
        return int(value)

    def int32(self) -> int:
        (value,) = struct.unpack_from(">i", self._data, self._at)
        self._at += 4
        return int(value)

    def string(self) -> str:
        size_bytes = self.int16()
        if size_bytes < 0:
            return ""
        self._at += size_bytes
        return self._data[self._at - size_bytes : self._at].decode()

    def int32s(self) -> tuple[int, ...]:
        return tuple(self.int32() for _ in range(self.int32()))


def _broker(reader: _Reader) -> int:
    node = reader.int32()
    reader.string()  # host
    reader.int32()  # port
    reader.string()  # rack
    return node


def _topic(reader: _Reader) -> list[PartitionView]:
    reader.int16()  # error
    topic = reader.string()
    reader.int8()  # internal?
    views = []
    for _ in range(reader.int32()):
        reader.int16()  # error
        partition, leader = reader.int32(), reader.int32()
        replicas, in_sync = reader.int32s(), reader.int32s()
        views.append(PartitionView(topic, partition, leader, replicas, in_sync))
    return views
