"""The node's HTTP API on loopback."""
