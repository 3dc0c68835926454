"""Making two sets of records equal, request by request."""
