"""The role of a peer that takes over the row of another key."""
