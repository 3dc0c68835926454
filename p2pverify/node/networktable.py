"""The keys of a network file, as pydantic reads them. What they mean together is checked in `networkfile`."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationInfo,
    create_model,
    field_validator,
)

from p2pverify.core.errors import DecodeError
from p2pverify.core.network import PARAM_BOUNDS
from p2pverify.core.peerid import key_of
from p2pverify.core.sign import is_valid_key

HONEST_PPM = 1000  # of a class in which equal inputs give equal bits
_BOUNDS = {name: (low, high) for name, low, high in PARAM_BOUNDS}


#: What a network file may leave out, and `network new` writes. Only the time of the beginning has no usual value.
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
    "admission_epochs": 4,
}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _in_bounds(value: int, info: ValidationInfo) -> int:
    low, high = _BOUNDS[str(info.field_name)]
    if not low <= value <= high:
        raise ValueError(f"{value} is not from {low} to {high}")
    return value


_FIELDS: dict[str, Any] = {
    name: (Annotated[StrictInt, AfterValidator(_in_bounds)], DEFAULTS.get(name, ...)) for name in _BOUNDS
}
if TYPE_CHECKING:

    class ParamsTable(_Table):
        def __init__(self, **values: int) -> None: ...
else:
    #: The rules in numbers: the fields of `core.network.Params`, where their units and meanings stand.
    ParamsTable = create_model("ParamsTable", __base__=_Table, **_FIELDS)


class ManifestTable(_Table):
    """A model, described by digests (64 hex digits)."""

    model: StrictStr
    weights: StrictStr
    tokenizer: StrictStr
    template: StrictStr
    quantisation: StrictStr
    licence: StrictStr
    provenance: StrictStr = ""
    parent: StrictStr | None = None

    @field_validator("weights", "tokenizer", "template", "parent")
    @classmethod
    def _digest(cls, value: str | None) -> str | None:
        return None if value is None else check_digest(value)

    @field_validator("model", "quantisation", "licence", "provenance")
    @classmethod
    def _text(cls, value: str) -> str:
        return check_text(value)


class ClassTable(_Table):
    """A determinism class. `manifest` is a manifest's digest."""

    name: StrictStr
    manifest: StrictStr
    engine: StrictStr
    numeric_path: StrictStr
    honest_ppm: Annotated[StrictInt, Field(ge=1, le=999_998)] = HONEST_PPM

    @field_validator("manifest")
    @classmethod
    def _digest(cls, value: str) -> str:
        return check_digest(value)

    @field_validator("name", "engine", "numeric_path")
    @classmethod
    def _text(cls, value: str) -> str:
        return check_text(value)


class NetworkTable(_Table):
    """The whole file. `manifests` lists digests of manifests that are not in the file."""

    name: StrictStr
    founders: tuple[StrictStr, ...]
    manifests: tuple[StrictStr, ...] = ()
    params: ParamsTable
    manifest: tuple[ManifestTable, ...] = ()
    classes: tuple[ClassTable, ...] = Field(alias="class")

    @field_validator("name")
    @classmethod
    def _text(cls, value: str) -> str:
        return check_text(value)

    @field_validator("founders")
    @classmethod
    def _founders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for founder in value:
            read_founder(founder)
        return value

    @field_validator("manifests")
    @classmethod
    def _digests(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_digest(digest) for digest in value)


def check_digest(text: str) -> str:
    """64 hex digits in lower case, or ValueError."""
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise ValueError(f"{text[:80]!r} is not a SHA-256 digest in 64 lower-case hex digits")
    return text


def check_text(text: str) -> str:
    """One line that is safe to show on a terminal, or ValueError."""
    if not text.isprintable():
        raise ValueError(f"{text[:80]!r} holds control characters")
    return text


def read_founder(text: str) -> bytes:
    """The public key of a founder's peer id, or ValueError."""
    try:
        key = key_of(text)
    except DecodeError:
        key = bytes(32)
    if not is_valid_key(key):
        raise ValueError(f"{text[:80]!r} is not a peer id; 'p2pverify init' prints one (12D3Koo...)")
    return key
