"""Lines in a definition: what is read, and what is refused."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.history.lines import ModelLine, Publishers
from p2pverify.core.contract.network import decode_network
from p2pverify.core.contract.shapes import RequestShape
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError
from tests.core.contract.test_network import NETWORK, PARAMS

KEYS = tuple(bytes([number]) * 32 for number in (1, 2, 3))
LINE = ModelLine("story", NETWORK.manifests[0], Publishers(KEYS, 2), 2, 4, 3)
LINED = replace(NETWORK, lines=(LINE,))


def test_lines_come_last() -> None:
    """A definition with lines has an item for the table of shapes, which may be empty there and nowhere else."""
    assert LINED.to_value() == [*NETWORK.to_value(), [], [LINE.to_value()]]
    assert decode_network(LINED.encode()) == LINED
    shaped = replace(LINED, params=replace(PARAMS, shapes=(RequestShape(1, 1, 8, 0, 0, 1000),)))
    assert decode_network(shaped.encode()) == shaped
    for more in ([[]], [[], []], [[], [LINE.to_value()], []], [[], None], [None, [LINE.to_value()]]):
        with pytest.raises(DecodeError):
            decode_network(encode([*NETWORK.to_value(), *more]))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (replace(LINE, name=""), "not empty"),
        (replace(LINE, name="a@b"), "has no @"),
        (replace(LINE, genesis=bytes(32)), "does not list"),
        (replace(LINE, publishers=Publishers(KEYS, 0)), "threshold"),
        (replace(LINE, publishers=Publishers(KEYS, 4)), "threshold"),
        (replace(LINE, publishers=Publishers((), 0)), "threshold"),
        (replace(LINE, publishers=Publishers(KEYS[::-1], 2)), "sorted"),
        (replace(LINE, publishers=Publishers(tuple(bytes([n]) * 32 for n in range(9)), 2)), "more than"),
        (replace(LINE, notice_epochs=0), "an epoch at least"),
        (replace(LINE, overlap_epochs=0), "an epoch at least"),
        (replace(LINE, recall_epochs=2**20 + 1), "recall_epochs"),
    ],
)
def test_wrong_lines(wrong: ModelLine, reason: str) -> None:
    """Each fault of a line is refused with its reason."""
    with pytest.raises(DecodeError, match=reason):
        decode_network(replace(NETWORK, lines=(wrong,)).encode())


def test_lines_are_distinct() -> None:
    """No two lines begin with one manifest, or have one name."""
    two = replace(NETWORK, manifests=(LINE.genesis, b"\xee" * 32))
    other = replace(LINE, name="other", genesis=b"\xee" * 32)
    decode_network(replace(two, lines=(LINE, other)).encode())
    for wrong in ((LINE, LINE), (other, LINE), (LINE, replace(other, name="story"))):
        with pytest.raises(DecodeError):
            decode_network(replace(two, lines=wrong).encode())


def test_the_contract_of_a_version() -> None:
    """Among the peers of a later version, the classes of its line name the version's manifest, and no others do."""
    other = replace(NETWORK.classes[0], name="other", manifest=b"\xee" * 32)
    network = replace(LINED, manifests=(LINE.genesis, b"\xee" * 32), classes=(*NETWORK.classes, other))
    served = network.with_version(0, b"\xdd" * 32, [None] * len(network.classes))
    assert [kind.manifest for kind in served.classes] == [b"\xdd" * 32] * len(NETWORK.classes) + [b"\xee" * 32]
    assert [network.line_of(index) for index in range(len(network.classes))] == [0] * len(NETWORK.classes) + [None]
