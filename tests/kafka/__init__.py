"""A real Apache Kafka for tests, and Kafka's own tools as independent witnesses.

Fixtures (`fixtures.py`, known to every test through `tests/conftest.py`):

    kafka         one node for the whole run, quick settings; never stop, kill or pause it
    own_kafka     one node for one test, to be killed, paused, restarted
    three_nodes   three nodes for one test module, replication 3, in-sync minimum 2
    topic_name    a function: a new topic name per call

Their ``bootstrap_servers`` is where witnesses come in. Whatever of the product a test starts gets its settings from
`locked.as_party`: behind the lock, with a login and the printed ACLs, in some modules, and in all with `--secure`.

A test that asks for one of them gets the marker `kafka` and, without a time limit of its own, 180 s.
`tools.py` has the console producer and consumer, transactions, offsets, groups, topic settings, log dumps.
"""
