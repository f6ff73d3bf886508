"""Sockets to listen on, or a refusal that names the remedy."""

from __future__ import annotations

import errno
import ipaddress
import resource
import socket
from collections.abc import Sequence

import structlog

from processor.config import HttpConfig
from processor.errors import Refused

DEFAULT_PORT = 8080
BACKLOG = 128
"""Connections that wait to be accepted, and the most that are accepted in one turn of the event loop."""

_log = structlog.get_logger(__name__)


def listening_sockets(http: HttpConfig) -> list[socket.socket]:
    """Listening, one per address of ``http.host``, all on one port. Raises `Refused`.

    A port that was asked for is this one or none; the default is somebody else's as often as not, and then any will do.
    """
    if http.port is not None:
        return _bind(http.host, http.port)
    try:
        return _bind(http.host, DEFAULT_PORT)
    except PortTaken:
        _log.info("http_default_port_taken", port=DEFAULT_PORT, remedy="set http.port to listen on the same one always")
        return _bind(http.host, 0)


class PortTaken(Refused):
    """Another program listens there."""


def _bind(host: str, port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, address in _resolve(host, port):
            bound = socket.socket(family, socket.SOCK_STREAM)
            try:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                bound.setblocking(False)
                taken = sockets[0].getsockname()[1] if sockets else port
                bound.bind((address, taken))
                # Here and not when connections are accepted: a port is only taken by who listens on it.
                bound.listen(BACKLOG)
            except OSError as error:
                bound.close()
                # A machine may name addresses of a family that it does not speak: localhost as ::1.
                if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) and sockets:
                    continue
                raise _refusal(host, port, error) from None
            sockets.append(bound)
    except BaseException:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise Refused(
            f"http.host = {host!r}: {error.strerror}; name an address of this machine (127.0.0.1: only from here)"
        ) from None
    # IPv4 first: that is the address which is told.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return list(dict.fromkeys((entry[0], str(entry[4][0])) for entry in found))


def _refusal(host: str, port: int, error: OSError) -> Refused:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"http.port = {port}: another program listens there on {host}; end it, or set another one (0: any)"
        )
    if error.errno == errno.EACCES:
        return Refused(f"http.port = {port}: not permitted to this user; set a port from 1024 on (0: any free one)")
    if error.errno == errno.EADDRNOTAVAIL:
        return Refused(f"http.host = {host!r}: not an address of this machine; set one that is (0.0.0.0: all of them)")
    return Refused(f"http.host = {host!r}, http.port = {port}: {error.strerror}; set others")


def is_loopback(sockets: Sequence[socket.socket]) -> bool:
    """Whether only this machine can reach them."""
    return all(ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback for bound in sockets)


def told_url(http: HttpConfig, sockets: Sequence[socket.socket]) -> str:
    """The address to tell people: the advertised one, or what can be opened on this machine."""
    if http.advertised_url is not None:
        return http.advertised_url
    host, port = sockets[0].getsockname()[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def make_room(wanted: int) -> None:
    """Raise this process's limit of open files as far as is wanted and permitted; too low a one is told."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    permitted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < permitted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (permitted, hard))
    if permitted < wanted:
        _log.warning(
            "http_few_open_files",
            limit=permitted,
            wanted=wanted,
            remedy="raise the hard limit (ulimit -Hn, LimitNOFILE), or lower http.max_subscribers",
        )
