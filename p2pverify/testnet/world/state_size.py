"""The size of a state: the canonical bytes of all that it remembers.

`bytes_max` is what the bounds of `protocol/view.md` are for: a state grows with its rows, and with nothing else.
"""

from p2pverify.core.state.codec.sections import leaves_of
from p2pverify.core.state.state import State

ROW_BYTES_MAX = 32_000
BASE_BYTES_MAX = 2_000_000
#: More for each row in a network with a tariff.
MONEY_BYTES_MAX = 20_000
#: A network id takes equally many bytes whatever it is.
_ANY_NETWORK = bytes(32)


def state_bytes(state: State) -> int:
    """The bytes of a state."""
    return sum(part_bytes(state).values())


def part_bytes(state: State) -> dict[str, int]:
    """The bytes of each section of a state, by name."""
    return {name: sum(map(len, leaves)) for name, leaves in leaves_of(_ANY_NETWORK, state).items()}


def bytes_max(state: State) -> int:
    """The most bytes that a state with so many rows may have."""
    row = ROW_BYTES_MAX + (MONEY_BYTES_MAX if state.books is not None else 0)
    return row * len(state.members) + BASE_BYTES_MAX
