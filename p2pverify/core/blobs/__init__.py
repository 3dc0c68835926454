"""Large files from peers: chunk lists, messages, and the plan of what to ask of whom."""
