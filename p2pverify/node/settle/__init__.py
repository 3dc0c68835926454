"""Accounts for people: the file of a tariff, and documents of what the newest final view says."""
