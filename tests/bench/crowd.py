"""Many WebSocket clients in one process, for little CPU: sockets and one epoll, nothing else.

    python -m tests.bench.crowd --port 8080 --subscribers 10000 --silent 200

Prints a JSON line once all are connected, and another one when its standard input ends.  The silent ones never read a
byte after the handshake; that they were closed is seen by their sockets' state alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import select
import socket
import sys
import time
from struct import unpack

PONG = b"\x8a\x80\x00\x00\x00\x00"
WAIT_S = 60.0  # for the first byte of an answer, on a busy machine


class Client:
    """One subscriber; skips over frames and answers pings."""

    __slots__ = ("_rest", "_skip", "frames", "opened_at", "received", "socket")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.opened_at = time.monotonic()
        self.frames = 0
        self.received = 0
        self._rest = b""
        self._skip = 0

    def read(self) -> bool:
        """What is there; whether the connection goes on."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.received += len(data)
        if self._skip >= len(data):
            self._skip -= len(data)
            return bool(data)
        data = self._rest + data[self._skip :]
        at = self._skip = 0
        while len(data) - at >= 2:
            size, head = data[at + 1], 2
            if size >= 126:
                head = 4 if size == 126 else 10
                if len(data) - at < head:
                    break
                (size,) = unpack("!H" if size == 126 else "!Q", data[at + 2 : at + head])
            if data[at] == 0x89:
                self.socket.send(PONG)
            elif data[at] == 0x88:
                return False
            self.frames += data[at] == 0x81
            at += head + size
        self._rest = data[at:]
        if at > len(data):
            self._skip, self._rest = at - len(data), b""
        return True


def connect(port: int, query: str) -> socket.socket:
    """The handshake is done, and not a byte behind it is read."""
    connected = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
    connected.sendall(
        f"GET /ws{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        peeked = connected.recv(4096, socket.MSG_PEEK)
        end = peeked.find(b"\r\n\r\n")
        taken = connected.recv(end + 4 if end >= 0 else len(peeked))
        if not taken:
            raise ConnectionError("closed before the handshake")
        head += taken
    if not head.startswith(b"HTTP/1.1 101 "):
        raise ConnectionError(head.decode("latin-1").partition("\r\n")[0])
    connected.setblocking(False)
    return connected


def main(port: int, subscribers: int, silent: int, queries: list[str]) -> None:
    """Connect, tell it, read until the standard input ends, tell what came."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began = time.monotonic()
    poll = select.epoll()
    poll.register(sys.stdin.fileno(), select.EPOLLIN | select.EPOLLHUP)
    clients: dict[int, Client] = {}
    quiet: dict[int, Client] = {}
    closed: list[float] = []
    lost = 0

    def look(timeout_s: float) -> bool:
        """Read what has come; false when the standard input has ended."""
        nonlocal lost
        for descriptor, events in poll.poll(timeout_s, maxevents=1024):
            if descriptor == sys.stdin.fileno():
                return False
            if descriptor in quiet:
                if events & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
                    client = quiet.pop(descriptor)
                    closed.append(time.monotonic() - client.opened_at)
                    poll.unregister(descriptor)
                    client.socket.close()
            elif not clients[descriptor].read():
                lost += 1
                poll.unregister(descriptor)
                clients.pop(descriptor).socket.close()
        return True

    for number in range(subscribers + silent):
        client = Client(connect(port, queries[number % len(queries)]))
        of = clients if number < subscribers else quiet
        of[client.socket.fileno()] = client
        poll.register(client.socket, select.EPOLLIN if of is clients else select.EPOLLRDHUP)
        if number % 100 == 99:  # those that are there already must answer meanwhile
            look(0)
    tell(connected=len(clients), silent=len(quiet), seconds=round(time.monotonic() - began, 1))
    while look(1.0):
        pass
    tell(
        frames=sum(client.frames for client in clients.values()),
        bytes=sum(client.received for client in clients.values()),
        got_nothing=sum(not client.frames for client in clients.values()),
        lost=lost,
        silent_closed=len(closed),
        silent_closed_after_s=[round(min(closed), 1), round(max(closed), 1)] if closed else None,
        cpu_s=round(time.process_time(), 1),
    )


def tell(**what: object) -> None:
    """A line for whoever started this."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--subscribers", type=int, default=10_000)
    parser.add_argument("--silent", type=int, default=200)
    parser.add_argument("--query", action="append", help="of the subscribers, in turn; '?batch=1' for example")
    options = parser.parse_args()
    main(options.port, options.subscribers, options.silent, options.query or [""])
