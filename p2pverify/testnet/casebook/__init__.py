"""The cheat book: every known way to cheat, with its expected fate and its measured outcome.

- `entries` lists the cheats.
- `answers` lets real engines give honest and false answers, and judges them.
- `trials` plays the sequential test over the outcomes.
- `worlds` plays the cheats of the protocol in the simulated world.
- `book` plays everything, and `report` describes it.
"""
