"""Addresses, which of them are local, and the proof that a node answers at one."""
