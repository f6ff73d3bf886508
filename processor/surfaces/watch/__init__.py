"""What is seen of the processor, away from its event loop.

- ``beat``: what a worker tells about itself, ten times a second, as data
- ``watch``: gathers a worker's beat from the engine's words (in the processor's event loop; a few dictionary updates
  per commit) and hands it over to whoever asks, from any thread
- ``picture``: the beats of all workers put together: what the dashboard, the metrics and the health checks read, with
  ``seen`` (what comes with a beat), ``overview`` and ``lines`` (what the API answers), ``creativity``, ``curves`` and
  ``recent``
- ``link``: beats and questions between workers and their supervisor
- ``session_view``: one session in full, looked up where its state lives
"""
