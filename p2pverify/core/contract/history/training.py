"""The training rule of a line: how its later versions are trained in rounds, in integers alone.

A line with a training rule has no releases by publishers only: its contributors train from the current version, and the
members decide by vote what a round gives. Protocol page: protocol/training.md.

Fractions are in Q16: 65536 stands for 1. Losses are in micronats (millionths of a nat). The bounds below, with those of
a schema, keep every sum of the trainer below 2^53: `engine/tabular/numbers` has the proof.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from p2pverify.core.contract.history.lora import LORA, LoraRule, read_lora
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_text, as_uint, check_sorted
from p2pverify.core.errors import DecodeError

SGD, DP = "tabular-sgd/1", "tabular-dp/1"
TRAINERS = (SGD, DP, LORA)
#: Who sees rows: all members see the training rows; only drawn held-out rows; nobody, and owners report losses.
OPEN, HELD_OUT, REPORTED = range(3)
TRIMMED, KRUM, MEDIAN, MEAN = range(4)
#: What the erasure of rows does to versions that were trained on them: they are kept and shown, or trained again.
KEEP, REPLAY = range(2)

CONTRIBUTORS_MAX = 32
#: The most rounds of a rule with REPLAY: all of them are remembered, so that each can be repeated.
REPLAYED_ROUNDS_MAX = 32
#: The most houses of a rule with mode REPORTED: each owner reports a loss for every set of them.
REPORTED_HOUSES_MAX = 8
HOUSE_MAX = 2**16 - 1
HIDDEN_MAX = 64
BATCH_MAX = 1024
ONE_Q16 = 2**16


@dataclass(frozen=True, slots=True)
class TrainingRule:
    """The rule of a line's rounds; fields in wire order.

    `contributors` are pairs of a key (32 B) and the number of its house, sorted by key. The keys of one house count as
    one contributor. If there are none, any member with weight contributes, and is a house of its own.

    A field that the trainer does not use is 0: `batch` and `epochs` of tabular-dp/1, which makes one step over all rows
    in a round, and `sigma`, `row_clip_q16` and `delta_exponent` of all others. Only the rule of torch-lora/1 has the
    last item, `lora`, and its `hidden` is 0.
    """

    trainer: str
    mode: int
    schema: bytes  # SHA-256 of the schema of all rows
    contributors: tuple[tuple[bytes, int], ...]
    rounds: int  # after so many decided rounds there are no more
    seal_cuts: int  # cuts after which sealing ends, if too few sealed before
    open_cuts: int  # cuts after which opening ends
    held_rows: int  # rows that each contributor opens in a round; 0 in mode REPORTED
    hidden: int  # units of the hidden layer; 0 for a logistic regression
    batch: int  # rows of a step
    epochs: int  # passes over the rows in a round
    lr_q16: int  # the step is the mean gradient times this
    decay_q16: int  # by this part of itself a weight shrinks in each step
    clip_q16: int  # the greatest Euclidean norm of an update
    aggregate: int  # TRIMMED, KRUM, MEDIAN or MEAN
    f: int  # how many false updates TRIMMED and KRUM withstand; 0 for the others
    sigma: int  # parameter of the discrete Gaussian noise on the sum of gradients, in units of 2^-16
    row_clip_q16: int  # the greatest Euclidean norm of a row's gradient
    delta_exponent: int  # delta of differential privacy is 10^-delta_exponent
    gain_min: int  # micronats: a round that lowers the loss by less keeps the base
    gain_full: int  # micronats: a round that lowers the loss by this much earns its whole bounty
    mark_below: int  # micronats: a contributor is marked only if its credit is below the negative of this
    quarantine_rounds: int  # for so many rounds a quarantined contributor is left out of the aggregate
    erasure_policy: int  # KEEP or REPLAY
    lora: LoraRule | None = None

    def house_of(self, author: bytes) -> int | None:
        """The house of a contributor's key (32 B). None if the rule does not list it."""
        return dict(self.contributors).get(author)

    def sorted_houses(self, authors: Iterable[bytes]) -> dict[tuple[int, bytes], list[bytes]]:
        """The keys (32 B) of each house, in the order of its first key. An unlisted key is a house of its own."""
        found: dict[tuple[int, bytes], list[bytes]] = {}
        for key in sorted(authors):
            number = self.house_of(key)
            found.setdefault((-1, key) if number is None else (number, b""), []).append(key)
        return found

    def to_value(self) -> list[object]:
        listed = [list(pair) for pair in self.contributors]
        numbers = [getattr(self, name) for name, _, _ in RULE_BOUNDS]
        lora = [] if self.lora is None else [self.lora.to_value()]
        return [self.trainer, self.mode, self.schema, listed, *numbers, *lora]


#: Inclusive bounds of the fields from `rounds` on, in wire order.
RULE_BOUNDS: tuple[tuple[str, int, int], ...] = (
    ("rounds", 1, 2**20),
    ("seal_cuts", 1, 64),
    ("open_cuts", 1, 64),
    ("held_rows", 0, 256),
    ("hidden", 0, HIDDEN_MAX),
    ("batch", 0, BATCH_MAX),
    ("epochs", 0, 64),
    ("lr_q16", 1, 16 * ONE_Q16),
    ("decay_q16", 0, ONE_Q16 - 1),
    ("clip_q16", 1, 64 * ONE_Q16),
    ("aggregate", TRIMMED, MEAN),
    ("f", 0, (CONTRIBUTORS_MAX - 2) // 3),
    ("sigma", 0, 2**32),
    ("row_clip_q16", 0, 16 * ONE_Q16),
    ("delta_exponent", 0, 18),
    ("gain_min", 0, 10**9),
    ("gain_full", 1, 10**9),
    ("mark_below", 0, 10**9),
    ("quarantine_rounds", 0, 2**20),
    ("erasure_policy", KEEP, REPLAY),
)
_FIELDS = 4 + len(RULE_BOUNDS)


def read_training(value: Value) -> TrainingRule:
    """The training rule of a line. Raises DecodeError."""
    items = as_array(value, "training", length_max=_FIELDS + 1)
    if len(items) < _FIELDS:
        raise DecodeError(f"training: not {_FIELDS} items")
    (trainer, mode, schema, listed, *numbers), lora = items[:_FIELDS], items[_FIELDS:]
    values: dict[str, int] = {}
    for (name, low, high), item in zip(RULE_BOUNDS, numbers, strict=True):
        values[name] = number = as_uint(item, name, high)
        if number < low:
            raise DecodeError(f"{name} is below {low}")
    found = TrainingRule(
        as_text(trainer, "trainer", 32),
        as_uint(mode, "training mode", REPORTED),
        as_bytes(schema, "training schema", size=32),
        tuple(map(_contributor, as_array(listed, "contributors", length_max=CONTRIBUTORS_MAX))),
        **values,
        lora=read_lora(lora[0]) if lora else None,
    )
    check_sorted([key for key, _ in found.contributors], "contributors")
    _check_together(found)
    return found


def _contributor(value: Value) -> tuple[bytes, int]:
    key, house = as_array(value, "contributor", length=2)
    return as_bytes(key, "contributor key", size=32), as_uint(house, "house", HOUSE_MAX)


def _check_together(rule: TrainingRule) -> None:
    """Raises DecodeError if the fields contradict each other."""
    _check_trainer(rule)
    if (rule.held_rows == 0) != (rule.mode == REPORTED):
        raise DecodeError("held_rows is 0 in mode 2, and in no other")
    if (rule.f == 0) != (rule.aggregate in (MEDIAN, MEAN)):
        raise DecodeError("f is 0 for median and mean, and for no other aggregate")
    houses = len({house for _, house in rule.contributors})
    if houses and houses < max(2, 3 * rule.f + 2):
        raise DecodeError("too few houses of contributors for f")
    if rule.mode == REPORTED and not 0 < houses <= REPORTED_HOUSES_MAX:
        raise DecodeError(f"mode 2 has listed contributors of at most {REPORTED_HOUSES_MAX} houses")
    if rule.erasure_policy == REPLAY and rule.rounds > REPLAYED_ROUNDS_MAX:
        raise DecodeError(f"a rule that replays has at most {REPLAYED_ROUNDS_MAX} rounds")
    if rule.gain_full < rule.gain_min:
        raise DecodeError("gain_full is below gain_min")


def _check_trainer(rule: TrainingRule) -> None:
    """Raises DecodeError if the trainer is unknown, or fields are not those of the trainer."""
    if rule.trainer not in TRAINERS:
        raise DecodeError("unknown trainer")
    steps, noise = (rule.batch, rule.epochs), (rule.sigma, rule.row_clip_q16, rule.delta_exponent)
    if rule.trainer in (SGD, LORA) and (0 in steps or any(noise)):
        raise DecodeError(f"{rule.trainer} has a batch and epochs, and no noise")
    if (rule.lora is None) != (rule.trainer != LORA):
        raise DecodeError(f"{LORA} has an item of its own, and no other trainer has it")
    if rule.lora is not None and (rule.hidden or rule.mode == REPORTED or rule.erasure_policy == REPLAY):
        raise DecodeError(f"{LORA} has no hidden units, no mode 2 and no replay")
    if rule.trainer == DP and (any(steps) or 0 in noise):
        raise DecodeError(f"{DP} has noise, a clip of rows and a delta, and no batch or epochs")
    if rule.trainer == DP and rule.mode == OPEN:
        raise DecodeError(f"{DP} hides rows that mode 0 shows")
