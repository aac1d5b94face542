"""Where a token is stored: reading and writing the target Secret."""
