"""Decisions: what to do about a resource and when. No I/O and no clock."""
