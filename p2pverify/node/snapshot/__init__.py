"""States of newcomers: fetched before a node starts, served to others, and the cuts that this home trusts."""
