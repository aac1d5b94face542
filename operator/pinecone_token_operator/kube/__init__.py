"""API server client: access, requests, replies, paths. It knows nothing of tokens."""
