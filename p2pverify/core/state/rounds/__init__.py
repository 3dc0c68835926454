"""Training rounds in the fold: phases, votes, and what a decision does."""
