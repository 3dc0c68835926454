"""Addresses, the check that an address is local, and the proof that a node answers there."""
