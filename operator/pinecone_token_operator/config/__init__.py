"""Settings: flags, environment variables and their validation."""
