"""Requests of other peers and of this one: who waits for which answer, and how long."""
