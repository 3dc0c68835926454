"""Settlement: accounts in integers, whose sum is always 0. Nothing is minted; each amount moves between accounts."""
