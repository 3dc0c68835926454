"""The versions of the network's lines: reports about them, downloads that the operator orders, and papers to sign."""
