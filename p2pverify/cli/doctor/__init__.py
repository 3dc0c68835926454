"""`doctor`: what is wrong with a node's home and with the running node, and what to do."""
