"""The changes that an amendment makes to the rules, as they travel. `amend` says which are allowed."""

from dataclasses import dataclass
from typing import TypeAlias

from p2pverify.core.contract.classes import DeterminismClass, read_class
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_text, as_uint
from p2pverify.core.errors import DecodeError

CHANGES_MAX = 32
#: Numbers in the table of parameters, now and in later versions.
_PARAMS_MAX = 255
_CLASSES_MAX = 31
_TAG_BYTES_MAX = 16
_ITEMS_MAX = 16


@dataclass(frozen=True, slots=True)
class ParamChange:
    """The number at this place of the definition's parameters gets a new value."""

    index: int
    value: int

    def to_value(self) -> list[object]:
        return ["param", self.index, self.value]


@dataclass(frozen=True, slots=True)
class ClassChange:
    """A class is appended. The rules must list its manifest."""

    kind: DeterminismClass

    def to_value(self) -> list[object]:
        return ["class", self.kind.to_value()]


@dataclass(frozen=True, slots=True)
class RetireChange:
    """No peer joins the class any more, and its members become inactive. Its number is never used again."""

    class_index: int

    def to_value(self) -> list[object]:
        return ["retire", self.class_index]


@dataclass(frozen=True, slots=True)
class ManifestChange:
    """One more manifest (digest, 32 B) is listed."""

    manifest: bytes

    def to_value(self) -> list[object]:
        return ["manifest", self.manifest]


@dataclass(frozen=True, slots=True)
class RefereeChange:
    """Another engine (build id) judges answers across classes."""

    referee: str

    def to_value(self) -> list[object]:
        return ["referee", self.referee]


@dataclass(frozen=True, slots=True)
class UnknownChange:
    """A change of a kind that this program does not know: it comes with a feature bit that it does not know either."""

    value: tuple[Value, ...]

    def to_value(self) -> list[object]:
        return list(self.value)


Change: TypeAlias = ParamChange | ClassChange | RetireChange | ManifestChange | RefereeChange | UnknownChange


def read_change(value: Value) -> Change:
    """A change from its items. Raises DecodeError."""
    items = as_array(value, "change", length_max=_ITEMS_MAX)
    if not items:
        raise DecodeError("change: no items")
    match as_text(items[0], "change", _TAG_BYTES_MAX):
        case "param":
            _, index, number = as_array(items, "param", length=3)
            return ParamChange(as_uint(index, "parameter", _PARAMS_MAX), as_uint(number, "value"))
        case "class":
            _, definition = as_array(items, "class change", length=2)
            _, manifest, *_ = as_array(definition, "class", length=6)
            return ClassChange(read_class(definition, (as_bytes(manifest, "class manifest", size=32),)))
        case "retire":
            _, index = as_array(items, "retire", length=2)
            return RetireChange(as_uint(index, "class", _CLASSES_MAX))
        case "manifest":
            _, manifest = as_array(items, "manifest change", length=2)
            return ManifestChange(as_bytes(manifest, "manifest", size=32))
        case "referee":
            _, referee = as_array(items, "referee", length=2)
            return RefereeChange(as_text(referee, "referee", 128))
    return UnknownChange(tuple(items))
