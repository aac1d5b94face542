"""Faults: what can go wrong around the operator, when it does, and how it is injected."""
