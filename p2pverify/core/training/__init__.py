"""Training rounds as values: what is drawn, what a peer is asked to compute, and the result that is voted on."""
