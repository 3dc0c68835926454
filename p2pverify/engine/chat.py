"""Splits chat prompts. It uses only the engine's port, so any tokenizer will do."""

from p2pverify.node.ports import Engine


def frame(engine: Engine, system: str = "") -> tuple[int, int]:
    """The number of tokens of a chat prompt before the user's words, and after them."""
    one, two = engine.encode_chat("a", system), engine.encode_chat("b", system)
    before = next(place for place, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
    return before, len(one) - before - 1
