"""What every version wrote, kept for ever: bytes of every wire type, and whole applications with their changelogs.

``0.1.0/`` and the like hold one record of each type, ``changelogs/`` applications that ran on a real Apache Kafka until
some state of every kind was there, ``formats.json`` what each format of the changelog says.  The changelogs
``0.1.0-without-eras`` are of a version of format 1 that wrote neither eras nor resets.

``python -m tests.golden VERSION`` keeps a new version's; what is kept never changes.
"""
