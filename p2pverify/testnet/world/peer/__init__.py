"""One peer of the simulated world: its actor, router, engine and disk."""
