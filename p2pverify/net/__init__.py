"""The only code that speaks libp2p."""
