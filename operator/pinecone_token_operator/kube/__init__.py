"""API server client: authentication, requests, responses and paths. Knows nothing of tokens."""
