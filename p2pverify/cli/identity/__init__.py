"""`identity`: the key of a home, its next key, and moves of both."""
