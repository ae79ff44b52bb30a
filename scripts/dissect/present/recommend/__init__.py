"""The best of the measured settings under limits, from the records of cells alone."""
