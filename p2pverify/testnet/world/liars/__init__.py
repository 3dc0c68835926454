"""The hostile peers of the simulated world, and the expected fate of each."""
