"""What the scripts share. Nothing here knows a command line."""
