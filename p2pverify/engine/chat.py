"""Splits chat prompts, and puts a turn before them. It uses only the engine's port, so any tokenizer will do."""

from p2pverify.node.ports import Engine


def frame(engine: Engine) -> tuple[int, int]:
    """The number of tokens of a chat prompt before the user's words, and after them."""
    one, two = engine.encode_chat("a"), engine.encode_chat("b")
    before = next(place for place, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
    return before, len(one) - before - 1


def system_turn(engine: Engine, text: str) -> tuple[int, ...]:
    """The tokens of a turn that goes before the user's turn.

    It is a system message if the template names each role in one token, as ChatML does. Otherwise it is one more turn
    of the user.
    """
    before, after = frame(engine)
    role_of = {name: engine.encode_chat(name)[before:] for name in ("user", "system")}
    user, system = (tokens[: len(tokens) - after] for tokens in role_of.values())
    whole = engine.encode_chat(text)
    opener, words, closer = whole[:before], whole[before : len(whole) - after], whole[len(whole) - after :]
    if len(user) == len(system) == 1:
        opener = tuple(system[0] if token == user[0] else token for token in opener)
    ends = closer.index(opener[0]) if opener[0] in closer else 0
    return (*opener, *words, *closer[:ends])
