"""The identity of a home: its key file, locked or not, and what belongs to changes of keys."""
