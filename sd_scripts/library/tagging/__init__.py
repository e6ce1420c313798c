"""Captioners and taggers, and the cleaning of what they wrote."""
