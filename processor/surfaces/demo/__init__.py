"""The demo: a broker, simulated sessions, worker processes and a running audit, on one machine.

- ``workers``: the processor, started as ``creative-feedback run --workers N`` is
- ``witness``: what the demo sees: it reads everything committed, audits it and lets the sessions hear
- ``outcome``: the summary at the end
- ``course``: the order of things, from the broker's start to the verdict
"""
