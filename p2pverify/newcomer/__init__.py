"""What a home lacks before its node can start is fetched from other peers: the weights of the model, and a state."""
