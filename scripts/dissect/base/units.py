"""Units in which sizes are declared and shown."""

MIB = 2**20
"""Bytes in one MiB."""
GIB = 2**30
"""Bytes in one GiB."""
