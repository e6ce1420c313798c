"""The stages of training as complete programs, and the library they share."""
