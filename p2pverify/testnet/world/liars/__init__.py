"""The hostile peers of the simulated world, and what each is expected to come to."""
