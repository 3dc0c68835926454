"""The contract between the peers of a network: its rules, its models, and how slots are drawn from randomness."""
