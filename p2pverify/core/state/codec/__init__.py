"""The canonical bytes of a state, and their root."""
