"""Issuing a token: credentials in, access token out."""
