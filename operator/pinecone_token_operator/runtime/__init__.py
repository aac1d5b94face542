"""The process: assembly, probes, signals and exit codes."""
