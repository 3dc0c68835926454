"""Commands that read a running node, or a ledger."""
