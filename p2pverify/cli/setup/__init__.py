"""Commands to use before a node runs: homes, networks, manifests, models."""
