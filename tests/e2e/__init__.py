"""The way of users: helm, kubectl, a pod that reads a file; on a real node. `make e2e`."""
