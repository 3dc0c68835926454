"""Data of this home: tables, rows with their salts, statements; and what a ledger shows of the data of all."""
