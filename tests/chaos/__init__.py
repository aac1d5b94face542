"""Chaos testing: inject faults around the operator, then judge whether it kept its promises.

Imports point one way: `run` uses `faults` and `analysis`; `faults` act on the `environment`; the
environment holds the `observers`; `records` and `promises` are plain data that all of them share.
"""
