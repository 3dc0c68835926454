"""A case study among real peers: rows are committed, rounds are played, and the ledger says what came out."""
