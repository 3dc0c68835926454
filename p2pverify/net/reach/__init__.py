"""Whether other peers can dial this one, and what it does if they cannot."""
