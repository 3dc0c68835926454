"""The rules of a network: its definition, and what amendments have made of it."""
