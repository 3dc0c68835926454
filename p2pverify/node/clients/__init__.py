"""Answers for the clients of this node: choosing a peer, asking it, and keeping the receipt."""
