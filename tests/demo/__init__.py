"""The demo: shows the operator at work, injects a few faults and reports what it kept."""
