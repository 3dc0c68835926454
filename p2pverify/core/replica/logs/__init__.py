"""The parts of a ledger: one author's log, where records are kept, and those that wait for earlier ones."""
