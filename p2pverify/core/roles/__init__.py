"""What one peer does: it answers, challenges, judges, votes, and makes cuts."""
