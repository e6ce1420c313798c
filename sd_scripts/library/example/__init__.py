"""The example project, made from free pictures and tiny untrained models: for the demo, the tests and the doctor."""
