"""Watches: the custom resources through kopf, and the metadata of Secrets."""
