"""Forms: how a value of a state is written as a canonical value, and read back strictly.

Each form writes a value in one way only, and reads nothing else. So two states have equal bytes exactly if they are
equal. Records of values are arrays in the order of the form. Sets and mappings are arrays in ascending order.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from operator import attrgetter
from typing import Any, Generic, TypeVar

from p2pverify.core.encoding.canon import UINT_MAX, Value, as_array, as_bool, as_bytes, as_text, as_uint
from p2pverify.core.errors import DecodeError

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
E = TypeVar("E", bound=Enum)


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """`write` gives what `canon.encode` takes. `read` takes what `canon.decode` gives, and raises DecodeError."""

    write: Callable[[T], object]
    read: Callable[[Value], T]

    @property
    def is_same(self) -> bool:
        """Whether a value is written as it is, so that many of them need no call for each."""
        return self.write is _same


def _same(value: object) -> object:
    return value


def uint(most: int = UINT_MAX) -> Form[int]:
    """An integer from 0 to `most`."""
    return Form(_same, lambda value: as_uint(value, "number", most))


def _read_integer(value: Value) -> int:
    if type(value) is not int or not -UINT_MAX <= value <= UINT_MAX:
        raise DecodeError("number: not an integer of 64 bits")
    return value


def data(*sizes: int) -> Form[bytes]:
    """A byte string of one of these sizes."""

    def read(value: Value) -> bytes:
        found = as_bytes(value, "bytes", size_max=max(sizes))
        if len(found) not in sizes:
            raise DecodeError(f"bytes: not {' or '.join(map(str, sizes))} bytes")
        return found

    return Form(_same, read)


def text(size_max: int) -> Form[str]:
    return Form(_same, lambda value: as_text(value, "text", size_max))


BOOL: Form[bool] = Form(_same, lambda value: as_bool(value, "flag"))
UINT = uint()
INTEGER: Form[int] = Form(_same, _read_integer)
#: An epoch, index or number that can be -1 for "never"; it is written increased by one.
SINCE: Form[int] = Form(lambda number: number + 1, lambda value: as_uint(value, "number") - 1)
#: A key or a digest.
ID = data(32)


def maybe(form: Form[T]) -> Form[T | None]:
    """A value, or None."""
    return Form(
        lambda value: None if value is None else form.write(value),
        lambda value: None if value is None else form.read(value),
    )


def choice(kind: type[E]) -> Form[E]:
    """A member of an enumeration, by its number."""

    def read(value: Value) -> E:
        number = as_uint(value, "choice")
        try:
            return kind(number)
        except ValueError:
            raise DecodeError(f"choice: {number} is none") from None

    return Form(lambda member: member.value, read)


def sequence(form: Form[T]) -> Form[tuple[T, ...]]:
    """Values in an order that matters."""
    write = form.write
    return Form(
        _same if form.is_same else lambda items: [write(item) for item in items],
        lambda value: tuple(form.read(item) for item in as_array(value, "items")),
    )


def pair(first: Form[K], second: Form[V]) -> Form[tuple[K, V]]:
    def read(value: Value) -> tuple[K, V]:
        one, two = as_array(value, "pair", length=2)
        return first.read(one), second.read(two)

    one_write, two_write = first.write, second.write
    is_same = first.is_same and second.is_same
    return Form(_same if is_same else lambda item: [one_write(item[0]), two_write(item[1])], read)


def ordered(form: Form[T], order: Callable[[T], Any]) -> Form[frozenset[T]]:
    """A set in ascending order."""
    items = sequence(form)

    def read(value: Value) -> frozenset[T]:
        found = items.read(value)
        check_ascending(map(order, found))
        return frozenset(found)

    if order is plain and items.is_same:
        return Form(sorted, read)  # type: ignore[arg-type]
    return Form(lambda found: items.write(tuple(sorted(found, key=order))), read)


def mapping(key: Form[K], value: Form[V], order: Callable[[K], Any]) -> Form[Mapping[K, V]]:
    """A mapping as pairs, in the ascending order of the keys."""
    entries = sequence(pair(key, value))

    def read(found: Value) -> dict[K, V]:
        pairs = entries.read(found)
        check_ascending(order(each) for each, _ in pairs)
        return dict(pairs)

    if order is plain and entries.is_same:
        return Form(lambda found: sorted(found.items()), read)
    key_write, value_write, by = key.write, value.write, sort_key(order)
    return Form(lambda found: [[key_write(each), value_write(found[each])] for each in sorted(found, key=by)], read)


def plain(key: Any) -> Any:
    """The order of keys that are compared as they are."""
    return key


def sort_key(order: Callable[[Any], Any]) -> Any:
    """What `sorted` takes for an order: nothing for `plain`, because a call for each key would cost most of it."""
    return None if order is plain else order


IDS = ordered(ID, plain)


def record(kind: type[T], **parts: Form[Any]) -> Form[T]:
    """A value with named parts, in the order in which they are given here."""

    def read(value: Value) -> T:
        items = as_array(value, kind.__name__, length=len(parts))
        return kind(
            **{name: _read_part(name, form, item) for (name, form), item in zip(parts.items(), items, strict=True)}
        )

    return Form(record_writer(**parts), read)


def record_writer(**parts: Form[Any]) -> Callable[[Any], Sequence[object]]:
    """Writes the named parts of a value, in the order in which they are given here. There are two at least."""
    taken = attrgetter(*parts)
    others = [(at, form.write) for at, form in enumerate(parts.values()) if not form.is_same]
    if not others:
        return taken

    def write(value: Any) -> Sequence[object]:
        items = list(taken(value))
        for at, write_item in others:
            items[at] = write_item(items[at])
        return items

    return write


def _read_part(name: str, form: Form[T], item: Value) -> T:
    try:
        return form.read(item)
    except DecodeError as error:
        raise DecodeError(f"{name}: {error.reason}") from None


def check_ascending(keys: Iterable[Any]) -> None:
    """Raise DecodeError unless each key is greater than the one before."""
    if any(not one < two for one, two in pairwise(keys)):
        raise DecodeError("not sorted and distinct")
