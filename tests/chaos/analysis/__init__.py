"""Analysis: turns the records of a run into verdicts and reports; pure functions, no I/O.

It shares no code with the operator, so that it can disagree with it.
"""
