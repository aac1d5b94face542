"""The sidecar: keeps a token fresh in files and behind a loopback endpoint, without Kubernetes."""
