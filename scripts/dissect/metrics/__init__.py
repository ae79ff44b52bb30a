"""What a measured cell holds in numbers: one module per kind. Units are in the field names."""
