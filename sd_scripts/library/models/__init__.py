"""Model families: from their files to their networks and back."""
