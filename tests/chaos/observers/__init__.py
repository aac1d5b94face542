"""Observers: record, from outside the operator, what happened during a run; they judge nothing."""
