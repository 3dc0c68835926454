"""The protocols on streams: gossip, requests and sync, each with its limits."""
