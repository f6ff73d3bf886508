"""The pure domain: what one session's state machine does, and the fold of it over a partition.

Nothing here knows a clock, randomness or a socket; bytes out depend on events and configuration alone. Decisions
and the tests that pin them:

1. A step either refuses the state and changes nothing, or handles the event whole (`step`; ``test_step``,
   ``test_laws``).
2. Numbers are read in one place; the step's shortcut applies only where no rule about broken values does (`intake`;
   ``test_intake``).
3. Sines, exponentials and fits use basic operations only, so that machines agree on every bit (`elementary`,
   `quality`; ``test_elementary``, ``test_quality``).
4. State is stored as small core records and blocks written once; what is stored is a function of the input, never of
   where a batch was cut (`changelog`, `restoring`; ``test_laws``, ``test_changelog``).
5. A session expires by the partition's stream time, decided at the event; tombstones only reclaim space (`partition`;
   ``test_partition``).
"""
