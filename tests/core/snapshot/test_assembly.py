"""A snapshot from pieces: equal to the states of the whole fold, and nothing false is taken."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from p2pverify.core.encoding.canon import encode
from p2pverify.core.replica.base import Base, decode_base
from p2pverify.core.snapshot.assembly import Assembly, StatePiece
from p2pverify.core.snapshot.messages import HASHES, LEAVES, PARTS, RECORD, SectionPart, decode_parts, encode_parts
from p2pverify.core.snapshot.serving import StateServer
from p2pverify.core.state.memory import NEAR_CARRY
from tests.support.started import folded
from tests.support.states import CUTS, served_network


def _answer(server: StateServer, piece: StatePiece) -> None:
    """Have a server fill a piece."""
    while (request := piece.next_request) is not None:
        while (cut := server.unwritten(request)) is not None:
            server.write_out(cut)
        assert piece.take(server.answer(request))


def _fill(assembly: Assembly, until: str = "") -> list[StatePiece]:
    """Assemble up to the stage of a kind of request, and return it."""
    while (stage := assembly.stage()) and stage[0].request.what != until:
        for piece in stage:
            _answer(served_network().server, piece)
            assert assembly.take(piece)
    return stage


def _assembly() -> Assembly:
    known = served_network()
    return Assembly(known.network.id, known.served[-1].cut)


def test_the_states_are_those_of_the_whole_fold() -> None:
    """And a fold that starts from them ends with the same state."""
    known, assembly = served_network(), _assembly()
    _fill(assembly)
    assert assembly.is_done
    base = Base(assembly.cuts, assembly.states())
    assert base.states == tuple(known.fold.states[cut] for cut in base.cuts)
    states = decode_base(known.network.id, base, {})
    assert [state.index for state in states] == [29, 30, 31, 32]
    fold = folded(known.network, [])
    fold.start_from(base)
    bottom = states[0].heads
    fold.feed(r for r in known.records if r.author not in bottom or r.seq > bottom[r.author][1])
    assert fold.latest.index == known.fold.latest.index >= CUTS
    assert fold.latest.id == known.fold.latest.id


def test_leaves_that_are_here_are_not_fetched() -> None:
    """The states before the newest one cost few leaves, and a second download none."""
    assembly = _assembly()
    stage = _fill(assembly, LEAVES)
    wanted = [each for piece in stage for each in piece.request.hashes]
    assert len(set(wanted)) == len(wanted)
    newest = sum(part.count for part in assembly._parts[assembly.cuts[-1]])
    assert len(wanted) < NEAR_CARRY * newest / 2
    for piece in stage:
        _answer(served_network().server, piece)
        assert assembly.take(piece)
    done, total = assembly.progress()
    assert done == total > 0
    again = Assembly(served_network().network.id, served_network().served[-1].cut, assembly._leaves)
    assert not _fill(again, LEAVES)
    assert again.progress() == (done, total)


def _other_bytes(piece: StatePiece) -> None:
    piece.got[0] = piece.got[0][:-1] + bytes([piece.got[0][-1] ^ 1])


def _of_another_cut(piece: StatePiece) -> None:
    """What is right for the cut before."""
    known = served_network()
    cut = known.fold.latest.at_index(31)
    assert cut is not None
    piece.got[0] = known.server.answer(replace(piece.request, cut=cut))


def _one_leaf_more(piece: StatePiece) -> None:
    parts = decode_parts(piece.got[0])
    piece.got[0] = encode_parts([replace(parts[0], count=parts[0].count + 1), *parts[1:]])


def _fewer_sections(piece: StatePiece) -> None:
    piece.got[0] = encode_parts(decode_parts(piece.got[0])[:-1])


def _a_section_twice(piece: StatePiece) -> None:
    piece.got[0] = encode([SectionPart("a", 0, bytes(32)).to_value()] * 2)


def _swapped(piece: StatePiece) -> None:
    piece.got[0], piece.got[-1] = piece.got[-1], piece.got[0]


@pytest.mark.parametrize(
    ("what", "lie"),
    [
        (RECORD, _other_bytes),
        (RECORD, _of_another_cut),
        (PARTS, _other_bytes),
        (PARTS, _of_another_cut),
        (PARTS, _one_leaf_more),
        (PARTS, _fewer_sections),
        (PARTS, _a_section_twice),
        (HASHES, _other_bytes),
        (HASHES, _swapped),
    ],
)
def test_false_pieces_are_refused(what: str, lie: Callable[[StatePiece], None]) -> None:
    """Nothing of them is remembered: the true piece is taken afterwards."""
    assembly = _assembly()
    pieces = _fill(assembly, what)
    chosen = next(number for number, piece in enumerate(pieces) if what != HASHES or piece.count > 1)
    false = pieces[chosen]
    _answer(served_network().server, false)
    lie(false)
    assert not assembly.take(false)
    true = assembly.stage()[chosen]
    assert not true.got
    _answer(served_network().server, true)
    assert assembly.take(true)


@pytest.mark.parametrize("change", ["other", "order", "none", "more", "garbage"])
def test_a_false_leaf_is_known_by_the_answer_that_has_it(change: str) -> None:
    assembly = _assembly()
    piece = next(piece for piece in _fill(assembly, LEAVES) if piece.count > 2)
    _answer(served_network().server, piece)
    leaves = piece.got
    bodies = {
        "other": encode([leaves[0], leaves[1] + b"\0"]),
        "order": encode(leaves[1::-1]),
        "none": encode([]),
        "more": encode([*leaves, leaves[0]]),
        "garbage": b"\xff",
    }
    fresh = StatePiece(piece.request, piece.count)
    assert not fresh.take(bodies[change])
    assert not fresh.got
    assert fresh.take(encode(leaves[:2]))
    assert fresh.next_request is not None
    assert fresh.next_request.hashes == piece.request.hashes[2:]


def test_a_snapshot_of_another_network_has_no_record() -> None:
    known = served_network()
    assembly = Assembly(bytes(32), known.served[-1].cut)
    (piece,) = assembly.stage()
    _answer(known.server, piece)
    assert not assembly.take(piece)
