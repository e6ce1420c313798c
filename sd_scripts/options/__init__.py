"""Every option of every script, declared once as a typed dataclass field."""
