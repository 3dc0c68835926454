"""A light client: asks peers of a network without a ledger and without a home, by passports that it checks."""
