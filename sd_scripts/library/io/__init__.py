"""Reading and writing files that other programs share."""
