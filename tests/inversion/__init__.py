"""Textual inversion: its training, its files, and what is refused."""
