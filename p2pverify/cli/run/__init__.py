"""Commands that run something until it ends: nodes, testnets, simulations."""
