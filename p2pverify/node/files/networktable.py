"""The keys of a network file, as they are read. `networkfile` checks what they mean together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, astuple, dataclass, field, make_dataclass
from typing import Annotated, Any

from p2pverify.core.contract.history.lines import LINE_EPOCHS_MAX, PUBLISHERS_MAX, ModelLine, Publishers
from p2pverify.core.contract.history.lora import LORA_BOUNDS, RANK_MAX, ROW_TOKENS_MAX, STEPS_MAX, LoraRule
from p2pverify.core.contract.history.training import HOUSE_MAX, REPORTED, RULE_BOUNDS, TrainingRule
from p2pverify.core.contract.network import NOTICE_EPOCHS, PARAM_BOUNDS, Params
from p2pverify.core.contract.shapes import RequestShape
from p2pverify.core.encoding.peerid import key_of, peer_id
from p2pverify.core.encoding.sign import is_valid_key
from p2pverify.core.errors import DecodeError
from p2pverify.node.endpoints.address import bootstrap_address
from p2pverify.node.files.manifesttable import AcrossTable, Digest, Line, ManifestTable, toml_text
from p2pverify.node.files.tomlfile import Check, read_table
from p2pverify.node.settle.tarifffile import TariffTable

HONEST_PPM = 1000  # dissents per million answers, for a class in which equal inputs give equal bits
_BOUNDS = {name: (low, high) for name, low, high in PARAM_BOUNDS}


#: Values of keys that a network file may leave out; `network new` writes them all. Only `genesis_ms` has no usual
#: value.
DEFAULTS = {
    "epoch_ms": 60_000,
    "slots_milli": 2000,
    "panel_size": 3,
    "prompt_tokens": 32,
    "answer_tokens": 64,
    "temperature_milli": 800,
    "greedy_percent": 20,
    "anchor_lag": 1,
    "anchor_window": 4,
    "duty_epochs": 8,
    "dispute_epochs": 16,
    "disputes_per_cut": 8,
    "spot_check_permille": 20,
    "fork_epochs": 64,
    "cheat_ppm": 100_000,
    "conviction_odds": 1_000_000,
    "weight_changes_per_cut": 1,
    "growth_epochs": 525_600,
    "tenure_epochs": 10_107,
    "rest_epochs": 16_384,
    "across_percent": 25,
    "prompt_spread": 0,
    "answer_spread": 0,
    "temperature_spread": 0,
    "long_permille": 0,
    "long_tokens": 0,
    "handover_epochs": 1440,
    "audits_per_epoch": 0,
    "notice_epochs": NOTICE_EPOCHS,
}


#: The purpose of a network, and the time in ms in which its weight may grow by the factor e.
PURPOSES = {"friends": 7 * 86_400_000, "open": 365 * 86_400_000}
#: A newcomer's tenure is this part of `growth_epochs`: a week of a year.
TENURE_PART = 52


def usual_growth(purpose: str, params: Mapping[str, int]) -> dict[str, int]:
    """The pace of weight in a network of this purpose, by the length of its epochs; only rules that are not given."""
    growth = params.get("growth_epochs", -(-PURPOSES[purpose] // params.get("epoch_ms", DEFAULTS["epoch_ms"])))
    growth = min(growth, _BOUNDS["growth_epochs"][1])
    usual = {"growth_epochs": growth, "tenure_epochs": growth // TENURE_PART}
    return {name: value for name, value in usual.items() if name not in params}


#: The usual share of the slots that ask for long answers. One in a hundred adds 6 % to the tokens of all answers.
LONG_PERMILLE = 10
#: Tokens of a chat template around a prompt, and the time in ms that a slow machine needs for a token of an answer.
TEMPLATE_TOKENS = 64
TOKEN_MS = 50


def usual_spreads(params: Mapping[str, int]) -> dict[str, int]:
    """How much questions vary if the contract does not say: like the questions of ordinary clients."""
    chosen = {**DEFAULTS, **params}
    spreads = {
        "prompt_spread": chosen["prompt_tokens"] // 2,
        "answer_spread": chosen["answer_tokens"] // 2,
        "temperature_spread": 3 * chosen["temperature_milli"] // 8,
    }
    return {name: spread for name, spread in spreads.items() if name not in params}


def usual_tail(params: Mapping[str, int], context_tokens: int) -> dict[str, int]:
    """The long answers of audits if the contract does not say: as long as the engine's context and an epoch allow."""
    chosen = {**DEFAULTS, "long_permille": LONG_PERMILLE, **params}
    room = context_tokens - TEMPLATE_TOKENS - chosen["prompt_tokens"]
    longest = params.get("long_tokens", min(_BOUNDS["long_tokens"][1], room, chosen["epoch_ms"] // TOKEN_MS))
    if longest <= chosen["answer_tokens"] or not chosen["long_permille"]:
        chosen["long_permille"] = longest = 0
    usual = {"long_permille": chosen["long_permille"], "long_tokens": longest}
    return {name: value for name, value in usual.items() if name not in params}


def _within(low: int, high: int) -> Callable[[int], None]:
    def see(value: int) -> None:
        if not low <= value <= high:
            raise ValueError(f"{value} is not from {low} to {high}")

    return see


#: The rules as numbers: the fields of `core.contract.network.Params`, which gives their units and meanings.
ParamsTable = make_dataclass(
    "ParamsTable",
    [
        (name, Annotated[int, Check(_within(low, high))], field(default=DEFAULTS.get(name, MISSING)))
        for name, low, high in PARAM_BOUNDS
    ],
    frozen=True,
    kw_only=True,
)


#: A row of the table of shapes in a file: the numbers of `core.contract.shapes.RequestShape`, in its order.
ShapeRow = tuple[int, int, int, int, int, int]


def shape_lines(shapes: Sequence[RequestShape]) -> list[str]:
    """The lines of a file for a table of shapes."""
    return [
        "# Requests as they look: weight, prompt tokens from and to, max_tokens from and to, temperature times 1000.",
        "# 0 and 0 for max_tokens: as long as the context allows.",
        "shapes = [",
        *(f"  {list(astuple(shape))}," for shape in shapes),
        "]",
    ]


def read_params(rules: Mapping[str, int]) -> Params:
    """The rules, with usual values for those that are not named. Raises ValueError, which names the wrong ones."""
    return params_of(read_table(ParamsTable, rules))


def params_of(table: Any, shapes: Sequence[ShapeRow] = ()) -> Params:
    """The rules in a table of them, and the rows of a table of shapes."""
    return Params(**asdict(table), shapes=tuple(RequestShape(*row) for row in shapes))


def read_founder(text: str) -> bytes:
    """The public key of a founder's peer id, or ValueError."""
    try:
        key = key_of(text)
    except DecodeError:
        key = bytes(32)
    if not is_valid_key(key):
        raise ValueError(f"{text[:80]!r} is not a peer id; 'p2pverify init' prints one (12D3Koo...)")
    return key


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """A determinism class. `manifest` is a manifest's digest; `across` is absent if no referee judges its answers."""

    name: Line
    manifest: Digest
    engine: Line
    numeric_path: Line
    honest_ppm: Annotated[int, Check(_within(1, 999_998))] = HONEST_PPM
    across: AcrossTable | None = None


@dataclass(frozen=True, kw_only=True)
class OriginTable:
    """Where a forked network comes from: the ids of the other network and of its cut, and the root of the state."""

    network: Digest
    cut: Digest
    state: Digest


@dataclass(frozen=True, kw_only=True)
class ContributorTable:
    """A contributor of a line's rounds: its peer id, and the number of its house."""

    peer: Annotated[str, Check(read_founder)]
    house: Annotated[int, Check(_within(0, HOUSE_MAX))]


@dataclass(frozen=True, kw_only=True)
class LoraTable:
    """What the rule of torch-lora/1 says besides: the fields of `core.contract.history.lora.LoraRule`."""

    rank: Annotated[int, Check(_within(1, RANK_MAX))]
    tokens: Annotated[int, Check(_within(2, ROW_TOKENS_MAX))]
    steps: Annotated[int, Check(_within(1, STEPS_MAX))]
    path: Line
    golden: Digest

    def rule(self) -> LoraRule:
        return LoraRule(self.rank, self.tokens, self.steps, self.path, bytes.fromhex(self.golden))


@dataclass(frozen=True, kw_only=True)
class TrainedTable:
    """How a line is trained; its numbers are in `TrainingTable`, which has a field for each."""

    trainer: Line
    mode: Annotated[int, Check(_within(0, REPORTED))]
    schema: Digest
    contributors: tuple[ContributorTable, ...] = ()
    lora: LoraTable | None = None


#: The training rule of a line: the fields of `core.contract.history.training.TrainingRule`.
TrainingTable = make_dataclass(
    "TrainingTable",
    [(name, Annotated[int, Check(_within(low, high))]) for name, low, high in RULE_BOUNDS],
    bases=(TrainedTable,),
    frozen=True,
    kw_only=True,
)


def _rule_of(table: Any) -> TrainingRule:
    contributors = sorted((read_founder(each.peer), each.house) for each in table.contributors)
    numbers = {name: getattr(table, name) for name, _, _ in RULE_BOUNDS}
    lora = None if table.lora is None else table.lora.rule()
    digest = bytes.fromhex(table.schema)
    return TrainingRule(table.trainer, table.mode, digest, tuple(contributors), **numbers, lora=lora)


def _training_lines(rule: TrainingRule) -> list[str]:
    """The lines of a file for the training rule of a line."""
    listed = [f"  {{ peer = {toml_text(peer_id(key))}, house = {house} }}," for key, house in rule.contributors]
    return [
        "[line.training]",
        f"trainer = {toml_text(rule.trainer)}",
        f"mode = {rule.mode}",
        f'schema = "{rule.schema.hex()}"',
        *(["contributors = [", *listed, "]"] if listed else []),
        *(f"{name} = {getattr(rule, name)}" for name, _, _ in RULE_BOUNDS),
        *([] if rule.lora is None else _lora_lines(rule.lora)),
    ]


def _lora_lines(lora: LoraRule) -> list[str]:
    numbers = [f"{name} = {getattr(lora, name)}" for name, _, _ in LORA_BOUNDS]
    return ["[line.training.lora]", *numbers, f"path = {toml_text(lora.path)}", f'golden = "{lora.golden.hex()}"']


@dataclass(frozen=True, kw_only=True)
class LineTable:
    """A line: the digest of the manifest with which it begins, and who releases its later versions (peer ids)."""

    name: Line
    manifest: Digest
    publishers: tuple[Annotated[str, Check(read_founder)], ...]
    threshold: Annotated[int, Check(_within(1, PUBLISHERS_MAX))]
    notice_epochs: Annotated[int, Check(_within(1, LINE_EPOCHS_MAX))]
    overlap_epochs: Annotated[int, Check(_within(1, LINE_EPOCHS_MAX))]
    recall_epochs: Annotated[int, Check(_within(0, LINE_EPOCHS_MAX))]
    training: TrainingTable | None = None  # type: ignore[valid-type]  # its fields are those of `RULE_BOUNDS`

    def line(self) -> ModelLine:
        keys = tuple(sorted(map(read_founder, self.publishers)))
        epochs = (self.notice_epochs, self.overlap_epochs, self.recall_epochs)
        rule = None if self.training is None else _rule_of(self.training)
        return ModelLine(self.name, bytes.fromhex(self.manifest), Publishers(keys, self.threshold), *epochs, rule)


def line_lines(lines: Sequence[ModelLine]) -> list[str]:
    """The lines of a file for the lines of a network."""
    written = []
    for each in lines:
        written += ["", "[[line]]", f"name = {toml_text(each.name)}", f'manifest = "{each.genesis.hex()}"']
        written.append(f"publishers = [{', '.join(toml_text(peer_id(key)) for key in each.publishers.keys)}]")
        written.append(f"threshold = {each.publishers.threshold}")
        names = ("notice_epochs", "overlap_epochs", "recall_epochs")
        written += [f"{name} = {getattr(each, name)}" for name in names]
        written += [] if each.training is None else _training_lines(each.training)
    return written


def _check_first_peer(text: str) -> None:
    try:
        bootstrap_address(text)
    except DecodeError as error:
        raise ValueError(f"{text[:80]!r}: {error.reason}") from None


@dataclass(frozen=True, kw_only=True)
class NetworkTable:
    """The whole file. `manifests` lists digests of manifests that are not in the file.

    `bootstrap` are first peers for nodes that name none. They are no rule: other ones make no other network.
    """

    name: Line
    founders: tuple[Annotated[str, Check(read_founder)], ...] = ()
    origin: OriginTable | None = None
    manifests: tuple[Digest, ...] = ()
    referee: Line = ""
    shapes: tuple[ShapeRow, ...] = ()
    params: ParamsTable  # type: ignore[valid-type]  # its fields are those of `PARAM_BOUNDS`
    manifest: tuple[ManifestTable, ...] = ()
    classes: tuple[ClassTable, ...] = field(metadata={"alias": "class"})
    lines: tuple[LineTable, ...] = field(default=(), metadata={"alias": "line"})
    tariff: TariffTable | None = None
    bootstrap: tuple[Annotated[str, Check(_check_first_peer)], ...] = ()
