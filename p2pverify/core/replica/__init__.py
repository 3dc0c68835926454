"""The replica of one peer: its ledger of records, the states computed from it, and the final cuts."""
