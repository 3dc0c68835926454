"""Hostile peers that want pay: contributors to training rounds, their judges, and those that trade with themselves."""
