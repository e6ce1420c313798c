"""Runs: their folders, the queue, and the worker that starts them."""
