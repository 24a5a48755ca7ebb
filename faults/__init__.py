"""Faults, injected on real servers: what becomes of turns when production goes wrong.

``make faults`` runs all of them and prints a table; `tests/test_faults.py` runs a little of each.
Not part of the wheel.
"""
