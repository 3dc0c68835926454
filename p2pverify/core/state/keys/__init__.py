"""Changes of keys in the fold: handovers of rows to new keys, objections to them, and new VRF keys."""
