"""Every option of every script has an effect that can be seen; each `test_*.py` has a table of them."""
