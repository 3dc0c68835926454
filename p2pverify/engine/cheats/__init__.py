"""Engines that lie, each around an honest one, so that a testnet can show that they are found out.

A cheat lies on a share of questions that it picks by a hash of the question, so that a repeated question gets the
same answer. It claims the honest engine's identity, and refuses what the honest engine would refuse.

`kinds` is the table of cheats, `spec` what one cheater is told, and `make` builds its engine.
"""
