"""Accounts on the command line: who earned and owes what, why, and who pays whom."""
