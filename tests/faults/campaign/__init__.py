"""Campaigns: many faults of every kind in seeded rounds, each round proven by the oracle.

    rounds.py   so many faults on one stage, decided by the campaign's seed and the round's number
    crews.py    the scene of the next two: workers that share partitions under load
    kills.py    SIGKILL at named points of the commit cycle and at any moment; all workers at once
    zombies.py  SIGSTOP past the session time-out, takeover, SIGCONT
    brokers.py  faults of brokers on three nodes
    doubts.py   lost, late and repeated requests and replies
    play.py     one round after the other; a round that fails is told with what repeats it
    report.py   what a campaign counts, and how it is told

`python -m tests.faults campaign --help` tells how to run one.
"""
