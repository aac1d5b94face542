"""Leader election on a coordination.k8s.io Lease, and fencing of writes."""
