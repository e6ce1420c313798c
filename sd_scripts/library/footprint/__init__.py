"""The memory that a training takes, by a formula from the model's own layers. Needs no torch: the page reads it, too."""
