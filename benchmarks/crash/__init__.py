"""What `python -m benchmarks.crashes` is made of."""
