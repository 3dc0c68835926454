"""`data`, `statement` and `trace`: data that stays with its owner, and what the ledger shows of it."""
