"""Benchmarks work; their figures are not looked at."""
