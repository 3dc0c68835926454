"""Amendments in the fold: open ones, their approval, and the rules that they have made."""
