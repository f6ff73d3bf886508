"""The real engine against a model of the cluster, in virtual time.

`virtual_time` is the event loop and its processes, `log`, `transactions` and `group` are the broker's parts,
`broker` joins them behind an unreliable `network`, `client` is what the engine sees (its ports), `tally_fold` a small
fold, `oracle` the invariants, and `simulation` the seeded scheduler of load and faults.
"""
