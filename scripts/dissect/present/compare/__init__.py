"""Two sets of cells side by side: ratios, verdicts that respect noise, and what differs between the two."""
