"""Ways to find peers that nobody has told us of."""
