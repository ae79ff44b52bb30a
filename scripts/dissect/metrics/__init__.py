"""The numbers of a measured cell, one module per kind. Units are in the field names."""
