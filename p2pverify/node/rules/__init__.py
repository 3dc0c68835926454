"""The rules in force and open amendments, as a node tells and follows them."""
