"""Settings: what an administrator may choose, and how its text is validated. No I/O but files."""
