"""What a peer says of open amendments."""
