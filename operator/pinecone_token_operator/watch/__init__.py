"""Watches: events of custom resources through kopf, and the metadata of Secrets."""
