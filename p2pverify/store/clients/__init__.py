"""The clients' database: receipts and hashes of keys. It is apart from the records, which are never deleted."""
