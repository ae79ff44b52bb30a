"""Units in which sizes are declared and shown."""

GIB = 2**30
"""Bytes in one GiB."""
