"""The cheat book: every known way to cheat, what the network must make of it, and what was measured.

`entries` lists the cheats; `answers` has real engines give honest and false answers and judges them; `trials` plays
the sequential test over what came out; `worlds` plays the many-peer ones in the simulated world; `book` puts it all
together, and `report` tells it.
"""
