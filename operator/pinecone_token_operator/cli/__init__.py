"""The command line: one light module per command; what a command does is imported when it runs."""
