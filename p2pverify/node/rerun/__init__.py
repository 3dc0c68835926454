"""Running the decisions of a ledger again: which ones, on which engine, and the proof of a wrong one."""
