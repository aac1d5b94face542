"""End-to-end test on a real node: helm, kubectl, and pods that read the mounted token."""
