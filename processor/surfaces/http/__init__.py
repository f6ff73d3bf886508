"""The HTTP surface: dashboard, API, probes, metrics and the stream, away from the processor's event loop.

- ``window``: `serve`, everything put together, from the first connection to the drained last one
- ``listening``: sockets, or a refusal that names the remedy
- ``connection``: one connection's deadline and limits, which aiohttp has not for a request's head and its answer
- ``door``: how many connections at a time, and room for probes in a flood of them
- ``guard``: who may ask what: methods, paths, Host, Origin, token
- ``token``: the bearer token, as its file says it now
- ``answers``: JSON, errors, and the headers that protect a browser
- ``assets``: the dashboard's files, read once
- ``glance``: the overview with its health, encoded once for all who look at the same moment
- ``pace``: what answers that are costly to make may take of a core
- ``api``, ``sessions``, ``probes``: what is answered
- ``forwarding``: a session that another instance has, fetched from there
- ``ports``: what is asked of others

Decisions:

1. Nothing here reads from the engine but through the `Picture` and a `SessionSource` with a deadline of its own.
2. The dashboard's files and the two probes need no token: they hold no data, and neither a browser's address bar nor
   most probes can send one.
3. A deadline covers a request from its first byte to its answer's last, so neither a slow sender nor a slow reader
   keeps a connection.
"""

from processor.surfaces.http.ports import Owner, OwnerDirectory, SessionSource
from processor.surfaces.http.window import Served, serve

__all__ = ["Owner", "OwnerDirectory", "Served", "SessionSource", "serve"]
