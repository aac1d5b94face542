"""What users write and read: the custom resource, its conditions and their reasons. No I/O."""
