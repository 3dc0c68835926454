"""What the peers of a network have agreed on: its rules, its models, and how slots are drawn from randomness."""
