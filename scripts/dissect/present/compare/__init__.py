"""Two sets of cells side by side: ratios, verdicts with intervals, and what differs between the two."""
