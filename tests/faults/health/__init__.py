"""Failures caused for real, and what the probes of `creative-feedback run` said of each.

    command.py    the command as a process, its probes, and the wait until they tell something
    sighting.py   one failure as the probes saw it, and the table of all
    scenes.py     the failures: of one worker, and of two under a supervisor

``python -m tests.faults health`` plays them on a Kafka of its own and prints the table.
"""
