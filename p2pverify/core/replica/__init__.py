"""What one peer holds: a ledger of records, the states that follow from it, and which cuts are final."""
