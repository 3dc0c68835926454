"""The network definition: the contract that all peers run.

The network id is the hash of its canonical form, and is in every record header. This module has only the fixed rules
and what follows from them. `node/files/networkfile.py` reads the TOML file that people write.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache

from p2pverify.core.contract.pool import Pool, pool_value, read_pool
from p2pverify.core.contract.shapes import (
    ANSWER_TOKENS_MAX,
    PROMPT_TOKENS_MAX,
    TEMPERATURE_MILLI_MAX,
    RequestShape,
    read_shapes,
    shapes_value,
)
from p2pverify.core.encoding.canon import (
    Value,
    as_array,
    as_bytes,
    as_text,
    as_uint,
    check_sorted,
    decode,
    digest,
    encode,
)
from p2pverify.core.errors import DecodeError

#: The version of the protocol. Networks of different versions have different ids, so their peers never mix.
VERSION = 2
DOMAIN = f"p2pverify/network/{VERSION}"
NETWORK_BYTES_MAX = 32_768
FOUNDERS_MAX = 256
CLASSES_MAX = 32
GROWTH_EPOCHS_MAX = 2**26
#: Engine and numeric path of the class for peers of unknown class; their answers are never compared by digest.
ANY = "*"
THRESHOLD_MAX = 2**32 - 1
_ORIGIN = "origin"
_ITEMS = 7  # of a definition without a table of shapes, which comes last
#: The pooled test and the test over long answers have an eighth of the contract's odds each.
ODDS_FACTOR = 8
_EXACT = Context(prec=40)


@dataclass(frozen=True, slots=True)
class Across:
    """How the referee judges answers of a class; fields in wire order. `inference.compare` defines the measure.

    An answer of n tokens is a match if its total is at most match_base + match_slope * n. It is a mismatch if its total
    is above mismatch_base + mismatch_slope * n, or if the margin of its end is greater than `end_max`. Totals are in
    1e-6 square nats, margins in micronats. `honest_ppm` is the mismatch rate allowed to an honest peer, in parts
    per million. `pool` has the bets of the pooled test, None if there is no such test of the class.
    """

    match_base: int
    match_slope: int
    mismatch_base: int
    mismatch_slope: int
    end_max: int
    honest_ppm: int
    pool: Pool | None = None

    def match_total(self, count: int) -> int:
        """The greatest total of a match, for `count` tokens."""
        return self.match_base + self.match_slope * count

    def mismatch_total(self, count: int) -> int:
        """The greatest total that is no mismatch, for `count` tokens."""
        return self.mismatch_base + self.mismatch_slope * count


@dataclass(frozen=True, slots=True)
class DeterminismClass:
    """A code path in which equal inputs give equal bits.

    `honest_ppm` is the mismatch rate that an honest peer of the class is allowed, in parts per million, where digests
    are compared. `across` is None if its answers are never judged by a referee.
    """

    name: str
    manifest: bytes
    engine: str
    numeric_path: str
    honest_ppm: int
    across: Across | None = None

    @property
    def is_any(self) -> bool:
        """Whether this is the class for peers of unknown class."""
        return self.engine == ANY


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the contract, in wire order. Times in ms, lengths in tokens, the rest in epochs or counts."""

    genesis_ms: int  # Unix time at which epoch 0 begins
    epoch_ms: int
    slots_milli: int  # slots that a peer owes per epoch, times 1000
    panel_size: int  # targets of a slot that is not solo
    prompt_tokens: int
    answer_tokens: int
    temperature_milli: int
    greedy_percent: int  # slots asked at temperature 0
    anchor_lag: int  # a draw uses the members of a cut at least this many epochs old
    anchor_window: int  # ... and at most this many more
    duty_epochs: int  # a duty counts if a cut at most this many epochs later holds it
    dispute_epochs: int  # a dispute that is undecided after this many epochs has no effect
    disputes_per_cut: int
    spot_check_permille: int  # undisputed audits that are voted on all the same
    fork_epochs: int  # a fork of its log costs a peer its weight for this long
    cheat_ppm: int  # the cheating rate that the sequential test looks for
    conviction_odds: int  # likelihood ratio at which a peer is convicted
    weight_changes_per_cut: int
    growth_epochs: int  # of n members with weight, one more is admitted in ceil(growth_epochs / n) epochs
    tenure_epochs: int  # duties of this many epochs come before weight
    rest_epochs: int  # a member without a record in this many cuts has its weight put to rest
    across_percent: int  # slots that ask members of other classes, where a referee can judge them
    prompt_spread: int = 0  # a slot's prompt_tokens, answer_tokens and temperature_milli are less by up to the spread
    answer_spread: int = 0
    temperature_spread: int = 0  # in steps of 100
    long_permille: int = 0  # slots that ask for answers above answer_tokens: see `lengths`
    long_tokens: int = 0  # the greatest length of those; 0 if there are none
    shapes: tuple[RequestShape, ...] = ()  # what slots ask for instead of the ranges above; empty if there is no table

    @property
    def deadline_ms(self) -> int:
        """How long a challenger waits for an answer."""
        return 2 * self.epoch_ms

    @property
    def spreads(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and greatest value of each range."""
        return (
            ("prompt_spread", self.prompt_spread, self.prompt_tokens),
            ("answer_spread", self.answer_spread, self.answer_tokens),
            ("temperature_spread", self.temperature_spread, self.temperature_milli),
        )

    def epoch_at(self, now_ms: int) -> int:
        """The epoch at a Unix time; negative before genesis."""
        return (now_ms - self.genesis_ms) // self.epoch_ms

    def epoch_start_ms(self, epoch: int) -> int:
        return self.genesis_ms + epoch * self.epoch_ms


#: Inclusive bounds, in the order of `Params`.
PARAM_BOUNDS: tuple[tuple[str, int, int], ...] = (
    ("genesis_ms", 0, 2**53),
    ("epoch_ms", 200, 86_400_000),
    ("slots_milli", 1, 16_000),
    ("panel_size", 1, 31),
    ("prompt_tokens", 1, PROMPT_TOKENS_MAX),
    ("answer_tokens", 1, ANSWER_TOKENS_MAX),
    ("temperature_milli", 0, TEMPERATURE_MILLI_MAX),
    ("greedy_percent", 0, 100),
    ("anchor_lag", 1, 64),
    ("anchor_window", 0, 64),
    ("duty_epochs", 1, 64),
    ("dispute_epochs", 4, 256),
    ("disputes_per_cut", 1, 256),
    ("spot_check_permille", 0, 1000),
    ("fork_epochs", 1, 4096),
    ("cheat_ppm", 1, 999_999),
    ("conviction_odds", 10, 10**12),
    ("weight_changes_per_cut", 1, 256),
    ("growth_epochs", 0, GROWTH_EPOCHS_MAX),
    ("tenure_epochs", 0, GROWTH_EPOCHS_MAX),
    ("rest_epochs", 256, GROWTH_EPOCHS_MAX),
    ("across_percent", 0, 100),
    ("prompt_spread", 0, 255),
    ("answer_spread", 0, ANSWER_TOKENS_MAX - 1),
    ("temperature_spread", 0, TEMPERATURE_MILLI_MAX - 1),
    ("long_permille", 0, 1000),
    ("long_tokens", 0, ANSWER_TOKENS_MAX),
)


#: The greatest values of the numbers of `Across`, in its order. The margin of a missing end is greater than any
#: `end_max`.
ACROSS_BOUNDS: tuple[tuple[str, int], ...] = (
    ("match_base", THRESHOLD_MAX),
    ("match_slope", THRESHOLD_MAX),
    ("mismatch_base", THRESHOLD_MAX),
    ("mismatch_slope", THRESHOLD_MAX),
    ("end_max", THRESHOLD_MAX - 1),
    ("honest_ppm", 999_998),
)


@dataclass(frozen=True, slots=True)
class Origin:
    """The state with which a forked network begins (32 B each).

    `state` is the root of the state. It was made from the state at the certified cut `cut` of the network `network`.
    """

    network: bytes
    cut: bytes
    state: bytes


@dataclass(frozen=True, slots=True)
class Network:
    """The whole definition. Founders and manifests are sorted and distinct.

    A network has founders, or an `origin` in their place: then the weight at its beginning is that of the state which
    the origin names.

    `referee` is the build id of the engine that judges answers across classes: it gives the same bits on every CPU.
    If it is empty, there is no referee, and slots ask only within a class.
    """

    name: str
    founders: tuple[bytes, ...]
    manifests: tuple[bytes, ...]
    classes: tuple[DeterminismClass, ...]
    params: Params
    referee: str = ""
    origin: Origin | None = None

    def to_value(self) -> list[object]:
        p, origin = self.params, self.origin
        return [
            DOMAIN,
            self.name,
            list(self.founders) if origin is None else [_ORIGIN, origin.network, origin.cut, origin.state],
            list(self.manifests),
            [
                [c.name, c.manifest, c.engine, c.numeric_path, c.honest_ppm, across_value(c.across)]
                for c in self.classes
            ],
            [getattr(p, name) for name, _, _ in PARAM_BOUNDS],
            self.referee,
            *([shapes_value(p.shapes)] if p.shapes else []),
        ]

    def encode(self) -> bytes:
        return encode(self.to_value())

    @property
    def id(self) -> bytes:
        """The network id: SHA-256 of the canonical form."""
        return digest(self.to_value())


def _wrong_domain(domain: Value) -> str:
    name = DOMAIN.rpartition("/")[0] + "/"
    if isinstance(domain, str) and domain.startswith(name):
        return f"a definition of protocol version {domain[len(name) :][:8]}; this p2pverify speaks version {VERSION}"
    return "not a network definition"


def decode_network(data: bytes) -> Network:
    """Read a canonical definition. Raises DecodeError."""
    items = as_array(decode(data, size_max=NETWORK_BYTES_MAX), "network")
    if len(items) not in (_ITEMS, _ITEMS + 1):
        raise DecodeError(f"network: not {_ITEMS} items")
    top, table = items[:_ITEMS], items[_ITEMS:]
    if top[0] != DOMAIN:
        raise DecodeError(_wrong_domain(top[0]))
    origin = _origin(top[2])
    founders = () if origin is not None else _keys(top[2], "founders", FOUNDERS_MAX)
    manifests = _keys(top[3], "manifests", CLASSES_MAX)
    classes = tuple(_class(item, manifests) for item in as_array(top[4], "classes", length_max=CLASSES_MAX))
    params = _params(top[5], table)
    if not (founders or origin) or not classes:
        raise DecodeError("a network needs founders and a class")
    if len({c.name for c in classes}) != len(classes):
        raise DecodeError("class names repeat")
    rates = [c.honest_ppm for c in classes] + [c.across.honest_ppm for c in classes if c.across is not None]
    if any(rate >= params.cheat_ppm for rate in rates):
        raise DecodeError("honest_ppm must be below cheat_ppm")
    referee = as_text(top[6], "referee", 128)
    if not referee and any(c.across is not None for c in classes):
        raise DecodeError("a class is judged across classes, and there is no referee")
    unknown = [c.manifest for c in classes if c.is_any]
    if len(set(unknown)) != len(unknown):
        raise DecodeError("a manifest has two classes of unknown engine")
    return Network(as_text(top[1], "name", 64), founders, manifests, classes, params, referee, origin)


def _params(value: Value, table: list[Value]) -> Params:
    """The numbers of the contract, and its table of shapes, if `table` holds one."""
    numbers = as_array(value, "params", length=len(PARAM_BOUNDS))
    values: dict[str, int] = {}
    for (name, low, high), item in zip(PARAM_BOUNDS, numbers, strict=True):
        values[name] = number = as_uint(item, name, high)
        if number < low:
            raise DecodeError(f"{name} is below {low}")
    params = Params(**values, shapes=read_shapes(table[0]) if table else ())
    for name, spread, most in params.spreads:
        if spread and spread >= most:
            raise DecodeError(f"{name} leaves nothing")
    has_tail = params.long_permille > 0 and params.long_tokens > params.answer_tokens
    if not has_tail and (params.long_permille, params.long_tokens) != (0, 0):
        raise DecodeError("long_permille and long_tokens do not fit together")
    return params


def _keys(value: Value, name: str, length_max: int) -> tuple[bytes, ...]:
    keys = tuple(as_bytes(item, name, size=32) for item in as_array(value, name, length_max=length_max))
    check_sorted(keys, name)
    return keys


def _origin(value: Value) -> Origin | None:
    """The origin that stands in place of the founders, or None."""
    if as_array(value, "founders")[:1] != [_ORIGIN]:
        return None
    _, network, cut, state = as_array(value, "origin", length=4)
    return Origin(
        as_bytes(network, "origin network", size=32),
        as_bytes(cut, "origin cut", size=32),
        as_bytes(state, "origin state", size=32),
    )


def _class(value: Value, manifests: tuple[bytes, ...]) -> DeterminismClass:
    name, manifest, engine, path, honest, across = as_array(value, "class", length=6)
    found = DeterminismClass(
        as_text(name, "class name", 64),
        as_bytes(manifest, "class manifest", size=32),
        as_text(engine, "class engine", 128),
        as_text(path, "class numeric path", 128),
        as_uint(honest, "honest_ppm", 999_998),
        read_across(across),
    )
    if found.honest_ppm == 0:
        raise DecodeError("honest_ppm is 0: nothing is certain")
    if found.manifest not in manifests:
        raise DecodeError("a class names a manifest that the network does not list")
    if (found.engine == ANY) != (found.numeric_path == ANY):
        raise DecodeError("engine and numeric path are both unknown or both known")
    if found.is_any and found.across is None:
        raise DecodeError("a class of unknown engine is judged across classes or not at all")
    return found


def across_value(across: Across | None) -> list[object] | None:
    """Thresholds in wire order, None if there are none."""
    if across is None:
        return None
    return [*(getattr(across, name) for name, _ in ACROSS_BOUNDS), pool_value(across.pool)]


def read_across(value: Value) -> Across | None:
    """Thresholds, or None if there are none. Raises DecodeError."""
    if value is None:
        return None
    *numbers, pool = as_array(value, "across", length=len(ACROSS_BOUNDS) + 1)
    bounds = {name: as_uint(number, name, high) for (name, high), number in zip(ACROSS_BOUNDS, numbers, strict=True)}
    found = Across(**bounds, pool=read_pool(pool))
    if found.honest_ppm == 0:
        raise DecodeError("honest_ppm is 0: nothing is certain")
    if found.match_base > found.mismatch_base or found.match_slope > found.mismatch_slope:
        raise DecodeError("what matches would be a mismatch as well")
    return found


@dataclass(frozen=True, slots=True)
class TestSteps:
    """The sequential test of one class, in 1/1024 nat, rounded in favour of the accused."""

    up: int  # per dissent
    down: int  # per agreement
    threshold: int  # conviction
    long_threshold: int  # conviction by the test over long answers


@lru_cache(maxsize=256)
def test_steps(honest_ppm: int, cheat_ppm: int, conviction_odds: int) -> TestSteps:
    """Steps of the CUSUM log-likelihood test (Page 1954; Wald's SPRT steps) of `cheat` against `honest`.

    Decimal.ln is correctly rounded, so every implementation gets the same integers. Arguments: two rates in parts per
    million, and the likelihood ratio that convicts.
    """
    p0, p1 = Decimal(honest_ppm), Decimal(cheat_ppm)
    million = Decimal(1_000_000)
    up = _EXACT.multiply(1024, _EXACT.ln(_EXACT.divide(p1, p0)))
    down = _EXACT.multiply(1024, _EXACT.ln(_EXACT.divide(million - p0, million - p1)))
    return TestSteps(
        int(up.to_integral_value(ROUND_FLOOR)),
        int(down.to_integral_value(ROUND_CEILING)),
        threshold_at(conviction_odds),
        threshold_at(ODDS_FACTOR * conviction_odds),
    )


@lru_cache(maxsize=16)
def threshold_at(odds: int) -> int:
    """The logarithm of the odds at which a test convicts, in 1/1024 nat."""
    exact = _EXACT.multiply(1024, _EXACT.ln(Decimal(odds)))
    return int(exact.to_integral_value(ROUND_CEILING))
