"""All of aiokafka, and nothing else in the project imports it.

await run_processor(settings, fold_factory, observer, stop)     # one instance until `stop` is set
async with connected(settings, "topics") as connection:          # administration
    await apply(connection, settings, plan(declared, await observe(connection, declared)), declared)
"""

from processor.backends.kafka.admin import apply, check, connected, observe
from processor.backends.kafka.clients import CommittedReader, CommittedRecord, EventProducer
from processor.backends.kafka.logs import CommittedLogs
from processor.backends.kafka.rebuild import LostChangelogs, NewState
from processor.backends.kafka.reset import StoredProgress
from processor.backends.kafka.run import run_processor

__all__ = [
    "CommittedLogs",
    "CommittedReader",
    "CommittedRecord",
    "EventProducer",
    "LostChangelogs",
    "NewState",
    "StoredProgress",
    "apply",
    "check",
    "connected",
    "observe",
    "run_processor",
]
