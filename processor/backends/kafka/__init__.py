"""All of aiokafka, and nothing else in the project imports it.

await run_processor(settings, fold_factory, observer, stop)     # one instance until `stop` is set
async with connected(settings, "topics") as connection:          # administration
    await apply(connection, settings, plan(declared, await observe(connection, declared)), declared)
"""

from processor.backends.kafka.admin import apply, check, connected, observe
from processor.backends.kafka.run import declared_topology, run_processor

__all__ = ["apply", "check", "connected", "declared_topology", "observe", "run_processor"]
