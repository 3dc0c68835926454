"""States from peers: messages, what a peer serves, the plan of a download, and which cuts a newcomer believes."""
