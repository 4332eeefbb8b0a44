"""Runs, comparisons and benchmarks on one machine."""
