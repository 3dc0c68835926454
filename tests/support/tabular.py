"""Training by hand: a second implementation of protocol/training.md, in Python's integers and without numpy."""

import hashlib
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from itertools import permutations
from math import isqrt, log

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import encode, sha256

Row = tuple[tuple[int, ...], int]
W_MAX = 2**21 - 1


def half_up(over: int, under: int) -> int:
    return (2 * over + under) // (2 * under)


@cache
def power(step: int) -> int:
    """exp(-step / 256) in Q16."""
    with localcontext() as context:
        context.prec = 40
        return int((Decimal(-step) / 256).exp() * 65536 + Decimal("0.5"))


def surprise(share: int) -> int:
    """-ln(share / 65536) in micronats."""
    return round(-log(share / 65536) * 1e6) if share else 12_000_000


def softmax(logits: Sequence[int]) -> list[int]:
    powers = []
    for logit in logits:
        step, part = divmod(min(max(logits) - logit, 65535), 16)
        powers.append((power(step) * (16 - part) + power(step + 1) * part + 8) // 16)
    total = sum(powers)
    return [(each * 65536 + total // 2) // total for each in powers]


class Net:
    """Weights as lists: layers[layer][input][output]."""

    def __init__(self, flat: Sequence[int], inputs: int, hidden: int, labels: int) -> None:
        self.shape = (inputs, hidden, labels)
        sizes = [(inputs + 1, hidden), (hidden + 1, labels)] if hidden else [(inputs + 1, labels)]
        rest = iter(flat)
        self.layers = [[[next(rest) for _ in range(outs)] for _ in range(ins)] for ins, outs in sizes]

    def flat(self) -> list[int]:
        return [weight for layer in self.layers for row in layer for weight in row]

    def moved(self, update: Sequence[int]) -> "Net":
        pairs = zip(self.flat(), update, strict=True)
        return Net([max(-W_MAX, min(W_MAX, one + two)) for one, two in pairs], *self.shape)

    def forward(self, cells: Sequence[int]) -> list[list[int]]:
        """The inputs of each layer with the constant, then the logits."""
        found = [[*cells, 4096]]
        for number, layer in enumerate(self.layers):
            sums = [sum(x * row[out] for x, row in zip(found[-1], layer, strict=True)) for out in range(len(layer[0]))]
            outputs = [half_up(each, 65536) for each in sums]
            is_last = number + 1 == len(self.layers)
            found.append(outputs if is_last else [*(max(0, min(32767, each)) for each in outputs), 4096])
        return found

    def loss(self, row: Row) -> int:
        return surprise(softmax(self.forward(row[0])[-1])[row[1]])

    def gradients(self, row: Row) -> list[list[list[int]]]:
        """The products of inputs (Q12) and gradients of outputs (Q16) of each layer, for one row."""
        *inputs, logits = self.forward(row[0])
        outs = [share - 65536 * (at == row[1]) for at, share in enumerate(softmax(logits))]
        found = [[[x * g for g in outs] for x in inputs[-1]]]
        if len(inputs) == 2:
            back = [half_up(sum(w * g for w, g in zip(ws, outs, strict=True)), 65536) for ws in self.layers[1][:-1]]
            hidden = [g if x > 0 else 0 for g, x in zip(back, inputs[1][:-1], strict=True)]
            found.insert(0, [[x * g for g in hidden] for x in inputs[0]])
        return found


def flat(layers: list[list[list[int]]]) -> list[int]:
    return [each for layer in layers for row in layer for each in row]


def step(net: Net, rows: Sequence[Row], rule: TrainingRule) -> Net:
    total = [sum(each) for each in zip(*(flat(net.gradients(row)) for row in rows), strict=True)]
    new = []
    for weight, each in zip(net.flat(), total, strict=True):
        moved = weight - half_up(half_up(each, 4096 * len(rows)) * rule.lr_q16, 65536)
        moved -= half_up(moved * rule.decay_q16, 65536)
        new.append(max(-W_MAX, min(W_MAX, moved)))
    return Net(new, *net.shape)


def order(domain: bytes, seed: bytes, block: int, count: int) -> list[int]:
    stream = hashlib.shake_256(domain + seed + block.to_bytes(8, "big")).digest(8 * count)
    return sorted(range(count), key=lambda at: (stream[8 * at : 8 * at + 8], at))


def shrunk(numbers: Sequence[int], bound: int) -> list[int]:
    square = sum(each * each for each in numbers)
    if square <= bound * bound:
        return list(numbers)
    norm = isqrt(square - 1) + 1
    return [abs(each) * bound // norm * (1 if each > 0 else -1) for each in numbers]


def train(net: Net, rows: Sequence[Row], rule: TrainingRule, seed: bytes) -> tuple[Net, list[int], bytes]:
    """The net after tabular-sgd/1, the update, and the root of the steps."""
    start, leaves = net.flat(), []
    for epoch in range(rule.epochs):
        drawn = order(b"p2pverify/training/order/1\0", seed, epoch, len(rows))
        size = min(rule.batch, len(rows))
        for at in range(0, len(rows) - size + 1, size):
            net = step(net, [rows[place] for place in drawn[at : at + size]], rule)
            data = b"".join(each.to_bytes(4, "big", signed=True) for each in net.flat())
            leaves.append(sha256(encode(["p2pverify/training/step/1", len(leaves), sha256(data)])))
    moved = [new - old for new, old in zip(net.flat(), start, strict=True)]
    return net, shrunk(moved, rule.clip_q16), merkle.root(leaves)


def mean(updates: Sequence[Sequence[int]]) -> list[int]:
    return [sum(each) // len(updates) for each in zip(*updates, strict=True)]


def worth(net: Net, updates: Sequence[Sequence[int]], rows: Sequence[Row]) -> int:
    moved = net.moved(mean(updates)) if updates else net
    return sum(map(moved.loss, rows)) // len(rows)


def shapley(net: Net, updates: Sequence[Sequence[int]], rows: Sequence[Row]) -> list[int]:
    """By the definition: the mean over all orders of what each player adds."""
    players = range(len(updates))
    known: dict[frozenset[int], int] = {}

    def of(players: frozenset[int]) -> int:
        if players not in known:
            known[players] = worth(net, [updates[each] for each in sorted(players)], rows)
        return known[players]

    orders = list(permutations(players))
    totals = [Fraction(0)] * len(updates)
    for one in orders:
        for at, player in enumerate(one):
            totals[player] += of(frozenset(one[:at])) - of(frozenset(one[: at + 1]))
    return [(total / len(orders)).__floor__() for total in totals]


class Bits:
    """The numbers of SHAKE-256 of a seed, 128 words a block."""

    def __init__(self, seed: bytes) -> None:
        self.seed, self.block, self.left = seed, 0, []

    def word(self) -> int:
        if not self.left:
            data = b"p2pverify/training/noise/1\0" + self.seed + self.block.to_bytes(8, "big")
            stream = hashlib.shake_256(data).digest(1024)
            self.left = [int.from_bytes(stream[at : at + 8], "big") for at in range(0, 1024, 8)]
            self.block += 1
        return self.left.pop(0)

    def below(self, bound: int) -> int:
        bits = (bound - 1).bit_length()
        words = -(-bits // 64)
        while True:
            number = int.from_bytes(b"".join(self.word().to_bytes(8, "big") for _ in range(words)), "big")
            number >>= 64 * words - bits
            if number < bound:
                return number

    def falls(self, over: int, under: int) -> bool:
        """True with the probability exp(-over / under). The fraction is not reduced."""
        if over > under:
            return self.falls(1, 1) and self.falls(over - under, under)
        k = 1
        while self.below(under * k) < over:
            k += 1
        return k % 2 == 1

    def laplace(self, scale: int) -> int:
        while True:
            size = self.below(scale)
            if not self.falls(size, scale):
                continue
            while self.falls(1, 1):
                size += scale
            sign = self.below(2)
            if not (sign and size == 0):
                return -size if sign else size

    def gaussian(self, sigma: int) -> int:
        while True:
            found = self.laplace(sigma + 1)
            if self.falls((abs(found) * (sigma + 1) - sigma**2) ** 2, 2 * sigma**2 * (sigma + 1) ** 2):
                return found


def private(net: Net, rows: Sequence[Row], rule: TrainingRule, seed: bytes) -> tuple[Net, list[int], bytes]:
    """The net after tabular-dp/1, the update, and the root of its one step."""
    found = [shrunk([half_up(each, 4096) for each in flat(net.gradients(row))], rule.row_clip_q16) for row in rows]
    bits, new = Bits(seed), []
    noise = [bits.gaussian(rule.sigma) for _ in net.flat()]
    for weight, *each in zip(net.flat(), *found, noise, strict=True):
        moved = max(-W_MAX, min(W_MAX, weight - half_up(sum(each) * rule.lr_q16, len(rows) * 65536)))
        new.append(moved - half_up(moved * rule.decay_q16, 65536))
    update = shrunk([one - two for one, two in zip(new, net.flat(), strict=True)], rule.clip_q16)
    data = b"".join(each.to_bytes(4, "big", signed=True) for each in new)
    leaf = encode(["p2pverify/training/step/1", 0, sha256(data)])
    return Net(new, *net.shape), update, merkle.root([sha256(leaf)])
