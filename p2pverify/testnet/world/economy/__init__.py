"""Training rounds and money in the simulated world: real training over made rows, and a tariff."""
