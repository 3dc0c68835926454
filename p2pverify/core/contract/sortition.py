"""Sortition: one VRF output per peer and epoch, or period, decides which peers it asks, when, and with what questions.

Everything here is a function of the output (beta) and of a certified set of members. So anybody can derive a peer's
duty after the reveal.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from p2pverify.core.contract.lengths import long_length, open_length
from p2pverify.core.contract.network import PERIOD_MAX, Params
from p2pverify.core.contract.shapes import RequestShape, choose_shape
from p2pverify.core.encoding import vrf
from p2pverify.core.encoding.canon import begin_array, digest, encode, encode_bytes, encode_uint, sha256

DRAW = "p2pverify/draw/1"
PROPOSE = "p2pverify/propose/1"
SLOT = "p2pverify/slot/1"
TARGET = "p2pverify/target/1"
BEACON = "p2pverify/beacon/1"
DISPUTE = "p2pverify/dispute/1"
SPOT = "p2pverify/spot/1"
_DRAWN = (
    "count",
    "at",
    "solo",
    "greedy",
    "across",
    "prompt",
    "sample",
    "size",
    "length",
    "heat",
    "tail",
    "shape",
    "owed",
)
_WHAT = {what: encode(what) for what in _DRAWN}
_HEAT_STEP = 100


@dataclass(frozen=True, slots=True)
class Slot:
    """One owed audit. Its `index` counts the slots of all epochs that the duty covers.

    `drawn_from` encodes the output and the slot; the fold does not need the values drawn from it.
    """

    index: int
    solo: bool
    greedy: bool
    across: bool  # it asks members of other classes, if there are any that a referee can judge
    drawn_from: bytes

    @property
    def at_permille(self) -> int:
        """When in the epoch it is asked, in thousandths: at any time, because clients ask at any time."""
        return _number(self.drawn_from, "at") % 1000

    def due_ms(self, epoch: int, params: Params) -> int:
        """When it is asked, in Unix time. `epoch` is the first one that the duty covers."""
        epoch += self.index // params.slots_max
        return params.epoch_start_ms(epoch) + self.at_permille * params.epoch_ms // 1000

    def prompt_tokens(self, params: Params) -> int:
        """The greatest length of the prompt that the model writes, in tokens."""
        number = _number(self.drawn_from, "size")
        if params.shapes:
            return self._shape(params).prompt_tokens(number)
        return params.prompt_tokens - number % (params.prompt_spread + 1)

    def answer_tokens(self, params: Params, prompt_tokens: int = 0) -> int:
        """The greatest length of the answer, in tokens. In an open slot the whole prompt leaves it less."""
        number = _number(self.drawn_from, "length")
        if self._is_in_tail(params):
            return long_length(number, params.answer_tokens, params.long_tokens)
        if not params.shapes:
            return params.answer_tokens - number % (params.answer_spread + 1)
        shape = self._shape(params)
        if not shape.is_open:
            return shape.answer_tokens(number)
        return open_length(params, prompt_tokens)

    def is_open(self, params: Params) -> bool:
        """Whether the answer may be as long as the context allows."""
        return bool(params.shapes) and self._shape(params).is_open and not self._is_in_tail(params)

    def is_long(self, params: Params) -> bool:
        """Whether the answer may be longer than `answer_tokens`. The draw alone says so, whatever the prompt."""
        if not params.shapes or self._is_in_tail(params):
            return self._is_in_tail(params)
        return self.is_open(params) or self.answer_tokens(params) > params.answer_tokens

    def temperature_milli(self, params: Params) -> int:
        """The temperature times 1000: 0 if the slot is greedy, else one of a few values that clients use."""
        if self.greedy:
            return 0
        if params.shapes:
            return self._shape(params).temperature_milli
        steps = params.temperature_spread // _HEAT_STEP + 1
        return params.temperature_milli - _HEAT_STEP * (_number(self.drawn_from, "heat") % steps)

    def _is_in_tail(self, params: Params) -> bool:
        return params.long_permille > 0 and _number(self.drawn_from, "tail") % 1000 < params.long_permille

    def _shape(self, params: Params) -> RequestShape:
        return _shape_of(self.drawn_from, params)

    @property
    def prompt_seed(self) -> bytes:
        """The seed (16 bytes) from which the model writes the prompt."""
        return _bytes(self.drawn_from, "prompt")[:16]

    @property
    def sample_seed(self) -> bytes:
        """The seed (16 bytes) of the question."""
        return _bytes(self.drawn_from, "sample")[:16]


def duty_alpha(network: bytes, epoch: int, beacon: bytes) -> bytes:
    """VRF input of a peer's duty."""
    return begin_array(4, DRAW, network) + encode_uint(epoch) + encode_bytes(beacon)


def propose_alpha(network: bytes, epoch: int, beacon: bytes) -> bytes:
    """VRF input of a cut proposal on top of the cut with this beacon."""
    return begin_array(4, PROPOSE, network) + encode_uint(epoch) + encode_bytes(beacon)


def next_beacon(beacon: bytes, beta: bytes) -> bytes:
    """The beacon of a cut: its base's beacon chained with its proposer's VRF output."""
    return digest([BEACON, beacon, beta])


def first_beacon(network: bytes) -> bytes:
    return digest([BEACON, network, b""])


def longest_period(members: int, params: Params) -> int:
    """The most epochs that one duty covers: a power of two, at most `PERIOD_MAX` and `members` / `audits_per_epoch`.

    So a member owes at most one slot in it on average, and a dispute opens later by little of the time that a
    conviction takes.
    """
    most = min(params.period_max, members // max(1, params.audits_per_epoch))
    return 1 << max(1, most).bit_length() - 1


def period_epochs(author: bytes, epoch: int, members: int, params: Params) -> int:
    """How many epochs from `epoch` on one duty of an author covers.

    The periods of authors end at different epochs, so that their duties do not come all at once. Shorter ones lead to
    the next longest one after a late start.
    """
    at = epoch + author[0] % PERIOD_MAX
    return min(longest_period(members, params), at & -at or PERIOD_MAX)


def slots(beta: bytes, params: Params, *, epochs: int = 1, members: int = 0) -> tuple[Slot, ...]:
    """The slots that a VRF output gives: `slots_milli` / 1000 of them on average.

    With `audits_per_epoch` these are the slots of so many `epochs`. Among the `members` at the anchor (at least 1) each
    exists with such odds that all members together owe `audits_per_epoch` in an epoch on average, or fewer.
    """
    if params.audits_per_epoch:
        share = min(params.slots_milli * members, 1000 * params.audits_per_epoch) << 64
        of = 1000 * members * params.slots_max
        places = range(epochs * params.slots_max)
        return tuple(slot_at(beta, n, params) for n in places if _number(_stem(beta, n), "owed") * of < share)
    whole, rest = divmod(params.slots_milli, 1000)
    extra = 1 if rest and _number(_stem(beta, 0), "count") % 1000 < rest else 0
    return tuple(slot_at(beta, index, params) for index in range(whole + extra))


def slot_at(beta: bytes, index: int, params: Params) -> Slot:
    """The slot with this index. Whether it is owed is another question."""
    stem = _stem(beta, index)
    return Slot(
        index,
        _number(stem, "solo") % 2 == 0,
        _is_greedy(stem, params),
        _number(stem, "across") % 100 < params.across_percent,
        stem,
    )


def _is_greedy(stem: bytes, params: Params) -> bool:
    if params.shapes:
        return _shape_of(stem, params).temperature_milli == 0
    return _number(stem, "greedy") % 100 < params.greedy_percent


def _shape_of(stem: bytes, params: Params) -> RequestShape:
    """The row of the contract's table that a slot draws."""
    return choose_shape(params.shapes, _number(stem, "shape"))


def _stem(beta: bytes, index: int) -> bytes:
    """All but the last item of [SLOT, beta, index, what], encoded once for all draws of a slot."""
    return begin_array(4, SLOT) + encode_bytes(beta) + encode_uint(index)


def _bytes(stem: bytes, what: str) -> bytes:
    return sha256(stem + _WHAT[what])


def _number(stem: bytes, what: str) -> int:
    return int.from_bytes(_bytes(stem, what)[:8], "big")


def targets(beta: bytes, slot: Slot, candidates: Iterable[bytes], params: Params) -> tuple[bytes, ...]:
    """The asked peers of a slot: the candidates with the lowest hash of output, slot and peer."""
    count = 1 if slot.solo else params.panel_size
    # The peer is the last item, always of 32 bytes.
    stem = begin_array(4, TARGET) + encode_bytes(beta) + encode_uint(slot.index) + b"X "
    ranked = heapq.nsmallest(count, ((sha256(stem + peer), peer) for peer in candidates))
    return tuple(peer for _, peer in ranked)


def dispute_rank(challenger: bytes, epoch: int, slot: int) -> bytes:
    """The order in which disputes are admitted. Nobody can choose it."""
    return digest([DISPUTE, challenger, epoch, slot])


def is_spot_check(beacon: bytes, challenger: bytes, epoch: int, slot: int, permille: int) -> bool:
    """Whether an undisputed audit is voted on all the same. The beacon of the first cut with its duty decides.

    A challenger that asks its friends questions of its own choice thus does not know which ones will be derived again.
    """
    start = begin_array(5, SPOT) + encode_bytes(beacon)
    drawn = sha256(start + encode_bytes(challenger) + encode_uint(epoch) + encode_uint(slot))
    return int.from_bytes(drawn[:8], "big") % 1000 < permille


def proposal_rank(beta: bytes) -> bytes:
    """Order of competing proposals of an epoch: the lowest wins."""
    return sha256(beta)


@lru_cache(maxsize=65_536)
def vrf_output(key: bytes, alpha: bytes, proof: bytes) -> bytes | None:
    """The output of a VRF proof if it verifies; cached, because judgement, fold and signing ask again."""
    return vrf.verify(key, alpha, proof)


def vrf_holds(key: bytes, alpha: bytes, proof: bytes) -> bool:
    """Whether a VRF proof verifies."""
    return vrf_output(key, alpha, proof) is not None
