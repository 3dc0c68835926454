"""Commands before a node runs: homes, networks, manifests, models."""
