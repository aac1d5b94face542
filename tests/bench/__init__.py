"""The benchmark: measures the operator, as it ships, on a cluster of its own."""
