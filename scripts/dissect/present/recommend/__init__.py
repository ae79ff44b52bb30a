"""Which of the measured settings is best under limits: from the records of cells alone."""
