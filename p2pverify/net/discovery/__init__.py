"""Ways to find peers without an address from anyone."""
