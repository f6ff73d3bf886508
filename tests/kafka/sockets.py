"""Which addresses a process listens on, from the kernel's own tables (Linux)."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_LISTEN = "0A"


def listening_addresses(pid: int) -> set[str]:
    """`host:port` of every listening TCP socket of the process; IPv4 written as such when mapped into IPv6."""
    inodes = {_target(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and f"socket:[{fields[9]}]" in inodes:
                host, port = fields[1].split(":")
                found.add(f"{_host(host)}:{int(port, 16)}")
    return found


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


def _host(text: str) -> str:
    """The kernel prints addresses as words in the machine's own byte order."""
    words = [text[at : at + 8] for at in range(0, len(text), 8)]
    packed = b"".join(struct.pack("=I", int(word, 16)) for word in words)
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    mapped = packed.startswith(b"\x00" * 10 + b"\xff\xff")
    return socket.inet_ntop(socket.AF_INET, packed[12:]) if mapped else socket.inet_ntop(socket.AF_INET6, packed)
