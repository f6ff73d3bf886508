"""Faults on real processes and a real broker.

    points.py    the named points of the commit cycle and the faults that can be planned there
    hooks.py     the engine's ports, wrapped so that a point can be hit: the product has no hooks
    worker.py    one instance as `creative-feedback run` runs it, its journal on standard output
    fork_server.py  forks workers from a process that has imported everything: a restart costs milliseconds
    instance.py  such a process from outside: wait for a line of its journal, kill, stop, continue, command
    load.py      seeded events, and a producer that remembers what was acknowledged
    proxy/       between instances and brokers: frames lost, late, cut, sliced, refused, one at a time
    stateful_set.py  instances as a StatefulSet runs them: restarted in turn, scaled; how long each partition pauses
    stage.py     topics, instances and load of one scenario, and the verdict of the oracle at its end
    campaign/    many faults of every kind in seeded rounds: `python -m tests.faults campaign`

Nothing sleeps to let something happen: a point, a journal line or an end offset is awaited.
"""
