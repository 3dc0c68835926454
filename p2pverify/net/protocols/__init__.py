"""The protocols on a stream: gossip, requests and sync, each with its limits."""
