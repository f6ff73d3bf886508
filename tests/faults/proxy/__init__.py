"""A TCP proxy between workers and brokers that knows Kafka's frames, and harms exactly the one it is told to.

    frames.py    length-prefixed frames, the header of a request, delivery whole or in pieces
    messages.py  bodies decoded: broker addresses replaced, error codes read, answers with an error made
    rules.py     which frame of whom, and what becomes of it; every rule knows whether it fired
    relay.py     one client connection and the connection to its broker
    wire.py      what transactional producers were seen to send: a promise broken there is told
    proxy.py     `KafkaProxy`: a listener per broker

A request and its reply belong together by connection and correlation id.  What is held back stays on its connection to
the broker, open for as long as the proxy runs, also when the client has long gone: that is how a late request happens.
Only PLAINTEXT.
"""

from tests.faults.proxy.frames import ApiName
from tests.faults.proxy.proxy import KafkaProxy
from tests.faults.proxy.rules import Action, Direction, Rule

__all__ = ["Action", "ApiName", "Direction", "KafkaProxy", "Rule"]
