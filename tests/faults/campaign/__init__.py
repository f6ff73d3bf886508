"""Campaigns: many faults of every kind in seeded rounds, each round proven by the oracle.

report.py   what a campaign counts, and how it is told
"""
