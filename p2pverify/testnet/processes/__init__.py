"""Testnets of real processes: start the peers, disturb them, watch them, and judge the result."""
