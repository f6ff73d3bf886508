"""Closed-loop sessions: an idea moves through a landscape and answers to the entropy it receives.

Everything here is pure and seeded.  A session draws its random numbers from a hash of (seed, session,
step), so any interleaving of sessions gives each of them the same life; what it sends depends only on
the entropy it was given. Nothing in this package knows how the entropy was scheduled: profiles have no
names here.

- ``families``: the landscapes (moderate, deep, shallow, no_habituation, poor_start, funnel, single_well,
inert)
- ``sessions``: one session's dynamics, ``step(entropy) -> State``
- ``events``: its events as JSON lines, with a chosen share of imperfections
- ``population``: many sessions in turn, closed through a fold or through a topic
"""
