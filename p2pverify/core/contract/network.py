"""The network definition: the contract that all peers run.

The network id is the hash of its canonical form, and is in every record header. This module has only the fixed rules
and what follows from them. `node/files/networkfile.py` reads the TOML file that people write.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from p2pverify.core.contract.classes import Across, DeterminismClass, read_class
from p2pverify.core.contract.history.lines import ModelLine, lines_value, read_lines
from p2pverify.core.contract.shapes import (
    ANSWER_TOKENS_MAX,
    PROMPT_TOKENS_MAX,
    TEMPERATURE_MILLI_MAX,
    RequestShape,
    read_shapes,
    shapes_value,
)
from p2pverify.core.contract.tariff import Tariff, read_tariff
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
#: The longest period in epochs: with `audits_per_epoch` one duty covers a period.
PERIOD_MAX = 16
#: The usual notice of an amendment: a week of epochs of a minute.
NOTICE_EPOCHS = 10_080
_ORIGIN = "origin"
_ITEMS = 7  # of a definition without a table of shapes, lines and a tariff, which come last


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
    handover_epochs: int = 1440  # without the old key's signature, a handover takes effect after this long
    audits_per_epoch: int = 0  # of all members together; 0: every member owes all of its slots
    notice_epochs: int = NOTICE_EPOCHS  # an approved amendment takes effect this many epochs later
    shapes: tuple[RequestShape, ...] = ()  # what slots ask for instead of the ranges above; empty if there is no table

    @property
    def deadline_ms(self) -> int:
        """How long a challenger waits for an answer."""
        return 2 * self.epoch_ms

    @property
    def slots_max(self) -> int:
        """The most slots of an epoch, before `audits_per_epoch` leaves some out."""
        return -(-self.slots_milli // 1000)

    @property
    def period_max(self) -> int:
        """The most epochs that one duty covers."""
        return PERIOD_MAX if self.audits_per_epoch else 1

    @property
    def duty_reach(self) -> int:
        """After this many epochs no duty that covers an epoch can count any more."""
        return self.duty_epochs + self.period_max - 1

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
    ("handover_epochs", 1, 2**20),
    ("audits_per_epoch", 0, 2**20),  # not on the wire if it is 0 and the notice is the usual one
    ("notice_epochs", 1, 2**20),  # not on the wire if it is the usual one
)
#: Numbers that each definition has.
_FIXED = len(PARAM_BOUNDS) - 2


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

    `lines` are the models that have later versions, sorted by the manifest with which they begin. Models of no line
    stay as they are.

    A network with a `tariff` keeps accounts.

    Of rules that were amended, `first` is the definition with which the network began. They have its id.
    """

    name: str
    founders: tuple[bytes, ...]
    manifests: tuple[bytes, ...]
    classes: tuple[DeterminismClass, ...]
    params: Params
    referee: str = ""
    origin: Origin | None = None
    lines: tuple[ModelLine, ...] = ()
    tariff: Tariff | None = None
    first: "Network | None" = None

    def to_value(self) -> list[object]:
        p, origin = self.params, self.origin
        return [
            DOMAIN,
            self.name,
            list(self.founders) if origin is None else [_ORIGIN, origin.network, origin.cut, origin.state],
            list(self.manifests),
            [c.to_value() for c in self.classes],
            _numbers(p),
            self.referee,
            *([shapes_value(p.shapes)] if p.shapes or self.lines or self.tariff else []),
            *([lines_value(self.lines)] if self.lines or self.tariff else []),
            *([self.tariff.to_value()] if self.tariff else []),
        ]

    def encode(self) -> bytes:
        return encode(self.to_value())

    @property
    def id(self) -> bytes:
        """The network id: SHA-256 of the canonical form of the first definition."""
        return digest((self.first or self).to_value())

    @property
    def is_trained(self) -> bool:
        """Whether a line is trained in rounds."""
        return any(line.training is not None for line in self.lines)

    def line_of(self, class_index: int) -> int | None:
        """The index of the line to which the model of a class belongs; None if it belongs to none."""
        return self.line_from(self.classes[class_index].manifest)

    def line_from(self, genesis: bytes) -> int | None:
        """The index of the line that begins with a manifest (digest, 32 B); None if there is none."""
        return next((index for index, line in enumerate(self.lines) if line.genesis == genesis), None)

    def with_version(self, line: int, manifest: bytes, bounds: Sequence[Across | None]) -> "Network":
        """The contract among the peers that serve a later version of a line.

        Its classes name the version's manifest (32 B), and have the thresholds of `bounds` (one for each class of the
        network; those of other models are not used). A class that was appended after the version has no thresholds for
        it. It is no definition: the id stays that of the network.
        """
        genesis = self.lines[line].genesis
        classes = tuple(
            replace(kind, manifest=manifest, across=across) if kind.manifest == genesis else kind
            for kind, across in zip_longest(self.classes, bounds)
        )
        return replace(self, classes=classes)


def _numbers(params: Params) -> list[int]:
    """The numbers on the wire. Usual values at the end are left out: a notice of a week, and no total of audits."""
    numbers: list[int] = [getattr(params, name) for name, _, _ in PARAM_BOUNDS]
    if params.notice_epochs != NOTICE_EPOCHS:
        return numbers
    return numbers[:-1] if params.audits_per_epoch else numbers[:-2]


def _wrong_domain(domain: Value) -> str:
    name = DOMAIN.rpartition("/")[0] + "/"
    if isinstance(domain, str) and domain.startswith(name):
        return f"a definition of protocol version {domain[len(name) :][:8]}; this p2pverify speaks version {VERSION}"
    return "not a network definition"


def decode_network(data: bytes) -> Network:
    """Read a canonical definition. Raises DecodeError."""
    items = as_array(decode(data, size_max=NETWORK_BYTES_MAX), "network")
    if not _ITEMS <= len(items) <= _ITEMS + 3:
        raise DecodeError(f"network: not {_ITEMS} to {_ITEMS + 3} items")
    top, shapes, lines, tariff = (
        items[:_ITEMS],
        items[_ITEMS : _ITEMS + 1],
        items[_ITEMS + 1 :][:1],
        items[_ITEMS + 2 :],
    )
    if top[0] != DOMAIN:
        raise DecodeError(_wrong_domain(top[0]))
    origin = _origin(top[2])
    founders = () if origin is not None else _keys(top[2], "founders", FOUNDERS_MAX)
    manifests = _keys(top[3], "manifests", CLASSES_MAX)
    classes = tuple(read_class(item, manifests) for item in as_array(top[4], "classes", length_max=CLASSES_MAX))
    params = _params(top[5], () if lines and shapes == [[]] else tuple(map(read_shapes, shapes)))
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
    found = read_lines(lines[0], manifests) if lines and not (tariff and lines == [[]]) else ()
    paid = read_tariff(tariff[0]) if tariff else None
    return Network(as_text(top[1], "name", 64), founders, manifests, classes, params, referee, origin, found, paid)


def _params(value: Value, tables: tuple[tuple[RequestShape, ...], ...]) -> Params:
    """The numbers of the contract, with its table of shapes, if there is one."""
    numbers = as_array(value, "params", length_max=len(PARAM_BOUNDS))
    if len(numbers) < _FIXED:
        raise DecodeError(f"params: not {_FIXED} items")
    if numbers[_FIXED:] == [0]:
        raise DecodeError("params: audits_per_epoch is 0, so it is left out")
    if numbers[_FIXED + 1 :] == [NOTICE_EPOCHS]:
        raise DecodeError("params: notice_epochs is the usual one, so it is left out")
    numbers = [*numbers, *(0, NOTICE_EPOCHS)[len(numbers) - _FIXED :]]
    values: dict[str, int] = {}
    for (name, low, high), item in zip(PARAM_BOUNDS, numbers, strict=True):
        values[name] = number = as_uint(item, name, high)
        if number < low:
            raise DecodeError(f"{name} is below {low}")
    params = Params(**values, shapes=tables[0] if tables else ())
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
