"""Keeps a fresh Pinecone access token in a Kubernetes Secret."""
