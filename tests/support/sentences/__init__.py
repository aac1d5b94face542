"""Renders every sentence that a user of the operator may read, to be reviewed as text."""
