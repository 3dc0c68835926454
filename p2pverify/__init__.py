"""p2pverify: a peer-to-peer gossip network of mutual verifiers for AI inference."""

__version__ = "0.1.0"
