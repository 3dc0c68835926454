"""Testnets of real processes: they are started, disturbed, watched and judged."""
