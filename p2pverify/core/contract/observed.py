"""A table of shapes from the requests of a node's own clients, from which no single request can be read off.

A row stands for at least `least` requests. Its prompts are a bucket with fixed bounds. Its answers are one length that
enough clients named, or buckets between powers of two. Requests that are too rare for a row of their own go to the
nearest row.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from p2pverify.core.contract.shapes import (
    ANSWER_TOKENS_MAX,
    PROMPT_TOKENS_MAX,
    SHAPES_MAX,
    TEMPERATURE_MILLI_MAX,
    RequestShape,
)

_HEAT_STEP = 100
_PARTS = 1000  # of all requests, in which weights are given: the table does not show how many requests there were
_Cell = tuple[int, int, int]  # the least value, the greatest value, the number of requests


@dataclass(frozen=True, slots=True)
class ObservedRequest:
    """What a table needs of a request: lengths in tokens, and the temperature times 1000.

    The prompt is without the template of a chat. `answer_tokens` is the most that the request asked for, 0 for as long
    as the context allows.
    """

    prompt_tokens: int
    answer_tokens: int
    temperature_milli: int


def table_of(requests: Sequence[ObservedRequest], least: int) -> tuple[RequestShape, ...]:
    """The table of these requests. Raises ValueError if they are fewer than `least`.

    If it would have too many rows, each stands for more requests.
    """
    if len(requests) < max(1, least):
        raise ValueError(f"{len(requests)} requests are fewer than {max(1, least)}")
    rows = _rows(requests, least)
    while len(rows) > SHAPES_MAX:
        least *= 2
        rows = _rows(requests, least)
    total, found = len(requests), []
    for (prompt_from, prompt_to, answer_from, answer_to, heat), count in sorted(rows.items()):
        weight = max(1, (_PARTS * count + total // 2) // total)
        found.append(RequestShape(weight, prompt_from, prompt_to, answer_from, answer_to, heat))
    return tuple(found)


def _rows(requests: Iterable[ObservedRequest], least: int) -> Counter[tuple[int, int, int, int, int]]:
    """The number of requests in each row, which is named by its ranges and its temperature."""
    rows: Counter[tuple[int, int, int, int, int]] = Counter()
    for heat, alike in _by_heat(requests, least).items():
        for (answer_from, answer_to), prompts in _by_answer(alike, least).items():
            cells = Counter(_prompt_bucket(size) for size in prompts)
            merged, _ = _merge([(*bucket, count) for bucket, count in sorted(cells.items())], least)
            for prompt_from, prompt_to, count in merged:
                rows[prompt_from, prompt_to, answer_from, answer_to, heat] += count
    return rows


def _by_heat(requests: Iterable[ObservedRequest], least: int) -> dict[int, list[ObservedRequest]]:
    """Requests by their rounded temperatures. A rare temperature becomes the nearest one that is not rare."""
    found: defaultdict[int, list[ObservedRequest]] = defaultdict(list)
    for one in requests:
        heat = (one.temperature_milli + _HEAT_STEP // 2) // _HEAT_STEP * _HEAT_STEP
        found[min(heat, TEMPERATURE_MILLI_MAX)].append(one)
    kept = [heat for heat, alike in found.items() if len(alike) >= least]
    kept = kept or [max(found, key=lambda heat: (len(found[heat]), -heat))]
    near: defaultdict[int, list[ObservedRequest]] = defaultdict(list)
    for heat, alike in found.items():
        near[min(kept, key=lambda other: (abs(other - heat), other))] += alike
    return near


def _by_answer(requests: Sequence[ObservedRequest], least: int) -> dict[tuple[int, int], list[int]]:
    """The lengths of the prompts, by the range of the answer. An open range is (0, 0)."""
    lengths = [one.answer_tokens if one.answer_tokens <= ANSWER_TOKENS_MAX else 0 for one in requests]
    counts = Counter(lengths)
    exact = {length for length, count in counts.items() if count >= least}
    rare = Counter(_answer_bucket(length) for length in lengths if length and length not in exact)
    merged, rest = _merge([(*bucket, count) for bucket, count in sorted(rare.items())], least)
    ranges = [(low, high) for low, high, _ in ([] if rest and exact else merged)]
    found: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for one, length in zip(requests, lengths, strict=True):
        within = [each for each in ranges if each[0] <= length <= each[1]]
        if length in exact:
            place = (length, length)
        elif within:
            place = within[0]
        else:  # too rare, and so are all that are like it
            near = [(value, value) for value in exact] or ranges
            place = min(near, key=lambda each: (each == (0, 0), abs(each[0] - length), each))
        found[place].append(one.prompt_tokens)
    return found


def _merge(cells: Sequence[_Cell], least: int) -> tuple[list[_Cell], bool]:
    """Neighbouring cells together, so that each has at least `least` requests.

    Says besides whether all of them together have fewer.
    """
    merged: list[_Cell] = []
    for low, high, count in cells:
        if merged and merged[-1][2] < least:
            first, _, before = merged.pop()
            merged.append((first, high, before + count))
        else:
            merged.append((low, high, count))
    if len(merged) > 1 and merged[-1][2] < least:
        (first, _, before), (_, last, count) = merged[-2:]
        merged[-2:] = [(first, last, before + count)]
    return merged, bool(merged) and merged[-1][2] < least


def _prompt_bucket(tokens: int) -> tuple[int, int]:
    """The fixed range of a prompt's length: an eighth of the next power of two wide, and at least 2 tokens."""
    tokens = min(max(tokens, 1), PROMPT_TOKENS_MAX)
    width = max(2, 1 << max(0, (tokens - 1).bit_length() - 3))
    low = (tokens - 1) // width * width + 1
    return low, low + width - 1


def _answer_bucket(tokens: int) -> tuple[int, int]:
    """The fixed range of a rare answer length: from above a power of two up to the next one."""
    bits = (tokens - 1).bit_length()
    return ((1 << bits) // 2 + 1 if bits else 1), 1 << bits
