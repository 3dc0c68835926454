"""A network that lasts, among real peers: states for newcomers, relays, new keys, new rules, and the verdict."""
