"""What a round draws: the seeds of trainings and of credit, and the order in which rows are held out and shown.

Protocol page: protocol/round.md.
"""

from collections.abc import Sequence
from hashlib import sha256

from p2pverify.core.encoding.canon import digest

BATCH_DOMAIN = "p2pverify/batch/1"
CREDIT_DOMAIN = "p2pverify/round-credit/1"
HELD_OUT_DOMAIN = b"p2pverify/held-out/1\0"


def batch_seed(beacon: bytes, line: int, number: int, author: bytes) -> bytes:
    """The seed (32 B) of a contributor's training. `beacon` is that of the cut that opened the round.

    A data set must be live in that cut, so nobody chooses rows by the order in which they will be used.
    """
    return digest([BATCH_DOMAIN, beacon, line, number, author])


def credit_seed(beacon: bytes, line: int, number: int) -> bytes:
    """The seed (32 B) of the orders in which credit is computed. `beacon` is that of the closing cut."""
    return digest([CREDIT_DOMAIN, beacon, line, number])


def row_order(seed: bytes, rows: int) -> list[int]:
    """The drawn order of the rows of a data set: its first `held` rows are held out, and are shown in this order.

    `seed` (32 B) is the beacon of the cut that brought the rows, so their owner could not choose the order. It is a
    Fisher-Yates shuffle. Each number below a bound is the remainder of the next 8 bytes of SHA-256(domain, seed,
    counter), 4 numbers for each counter of 8 bytes. The remainder's bias is below rows / 2^64.
    """
    order = list(range(rows))
    words: list[int] = []
    counter = 0
    for place in range(rows - 1, 0, -1):
        if not words:
            block = sha256(HELD_OUT_DOMAIN + seed + counter.to_bytes(8, "big")).digest()
            words = [int.from_bytes(block[at : at + 8], "big") for at in range(24, -8, -8)]
            counter += 1
        other = words.pop() % (place + 1)
        order[place], order[other] = order[other], order[place]
    return order


def shown_rows(order: Sequence[int], position: int, count: int) -> list[int]:
    """The numbers of the rows that a contributor shows in a round, sorted. `position`: how many it has shown before."""
    return sorted(order[position : position + count])
