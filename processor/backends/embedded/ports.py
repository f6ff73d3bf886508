"""Ports on the loopback interface."""

from __future__ import annotations

import random
import socket

from processor.backends.embedded.errors import NotStarted

HOST = "127.0.0.1"
# Below the ranges systems hand out for outgoing connections (from 32768 on Linux, 49152 elsewhere): a port
# from there could be taken by a client while its broker is down, even by a client connecting to itself.
_CHOICE = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Nothing listens on the port (a look, not a reservation)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int, excluded: frozenset[int] = frozenset()) -> list[int]:
    """Ports nobody listens on now, chosen at random so that parallel runs seldom meet."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.choice(_CHOICE)
        if port not in excluded and port not in chosen and is_free(port):
            chosen.append(port)
    return chosen


def require_free(ports: list[int]) -> None:
    """Raises `NotStarted` naming the first port in use."""
    for port in ports:
        if not is_free(port):
            raise NotStarted(
                f"port {port} on {HOST} is in use: stop what listens there or choose another port with --port"
            )
