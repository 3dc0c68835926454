"""The pure core: no I/O, clock, randomness or async. Time and dice come in as arguments."""
