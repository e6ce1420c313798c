"""A training's memory, by a formula from the model's own layers. Needs no torch: the page asks it too."""
