"""Reports of a node about itself and the network, as values for the API, the tables and the log."""
