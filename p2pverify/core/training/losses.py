"""The losses that an owner reports in mode 2: on its own rows, of the base with the updates of every set of houses.

A table has the mean loss (micronats, rounded down) of each set, then that of the new weights. A set is the sum of
2^place over its houses, which are in the order of their first key. Set 0 is the base.
"""

from p2pverify.core.contract.history.training import REPORTED_HOUSES_MAX

#: The greatest mean loss of a row.
LOSS_MICRONATS_MAX = 12_000_000
REPORTED_LOSSES_MAX = 2**REPORTED_HOUSES_MAX + 1

LossTable = tuple[int, ...]


def losses_count(houses: int) -> int:
    """How many losses a table has."""
    return (1 << houses) + 1
