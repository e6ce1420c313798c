"""Makes small real things, offline: models with random weights in their true layouts, for the demo and the tests."""
