"""The roles of one peer: it answers, challenges, judges, votes, and makes cuts."""
