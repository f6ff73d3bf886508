"""Bytes of every wire type, kept for every version that wrote them.

``python -m tests.golden VERSION`` writes the folder of a new version; what is written is never changed.
"""
