"""network propose|approve|accept, and the rules in force: amendments of a running network."""
