"""Models and pictures that are made here, for tests, the demo and the doctor. No model has learnt anything."""
