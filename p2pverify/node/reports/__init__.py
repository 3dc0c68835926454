"""What a node tells about itself and about the network, as values for the API, the tables and the log."""
