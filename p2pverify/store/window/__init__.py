"""What a node keeps of its past: the states that it starts from, and the records above the horizon."""
