"""Commitments to data that stays with its owner: rows, their schema, cards, and what statements are about."""
