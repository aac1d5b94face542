"""Simulations: the operator's controller in a simulated cluster, through hours that pass at once.

Only `process` imports the operator. What is simulated (`small_api`, `connection`, `endpoint`) and
what judges (`oracle`, `reading`) share no code with it, so that they can disagree with it.
"""
