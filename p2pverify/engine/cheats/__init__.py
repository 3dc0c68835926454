"""Lying engines, each around an honest one, so that a testnet can show that lies are detected.

A cheat lies on a share of questions that it picks by a hash of the question, so that a repeated question gets the
same answer. It claims the honest engine's identity, and refuses what the honest engine would refuse.

Some cheats know the network's rules (`rules`), or let a cheap model write while the real one reads (`speculative`).
`kinds` is the table of cheats, `spec` describes the cheat of one peer, and `make` builds its engine.
"""
