"""Benchmarks of the pipeline itself, a module each: ``make bench`` prints them and writes results/bench/*.csv.

Nothing here is asserted: machines are noisy, so compare ratios within one run.
"""
