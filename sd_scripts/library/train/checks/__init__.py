"""What must be true of the options before work starts: each finding is one sentence."""
