"""SQLite: append-only records behind one batching writer."""
